package websocket

import (
	"bufio"
	"bytes"
	"compress/flate"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
)

// A peer is the strict client: one over a bare connection, for which every violation of the
// protocol is an error.
type peer struct {
	net.Conn
	br      *bufio.Reader
	deflate bool // permessage-deflate was agreed on, without context takeover (RFC 7692)

	mu        sync.Mutex // guards closeSent, and is held while frames are written
	closeSent bool       // no frame may follow
}

func newPeer(c net.Conn) *peer { return &peer{Conn: c, br: bufio.NewReader(c)} }

// dial connects a peer to a server.
func dial(tb testing.TB, addr string, secure bool) *peer {
	tb.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(tb, err)
	if secure {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	}
	require.NoError(tb, c.SetDeadline(time.Now().Add(harness.Timeout)))
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+addr+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Origin: http://"+addr+"\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+
		"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n\r\n")
	require.NoError(tb, err)
	p := newPeer(c)
	res, err := http.ReadResponse(p.br, nil)
	require.NoError(tb, err)
	require.Equal(tb, http.StatusSwitchingProtocols, res.StatusCode)
	require.Equal(tb, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", res.Header.Get("Sec-WebSocket-Accept"), "RFC 6455, section 1.3")
	p.deflate = strings.HasPrefix(res.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
	return p
}

// send writes frames in one piece, or nothing once a Close has been sent.
func (p *peer) send(frames ...[]byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closeSent {
		return nil
	}
	_, err := p.Write(bytes.Join(frames, nil))
	return err
}

// sendClose writes a Close, if none has been sent.
func (p *peer) sendClose(payload []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closeSent {
		return nil
	}
	p.closeSent = true
	_, err := p.Write(clientFrame(true, opClose, payload))
	return err
}

// A message is a whole message, inflated.
type message struct {
	opcode byte
	data   string
}

// An ending is what a peer has read of a connection, up to its end.
type ending struct {
	messages  int     // how many came before the last
	last      message // the zero message if there was none
	inMessage bool    // the Close came inside a fragmented message
	code      int
	reason    string
}

// readToClose reads up to the end of the connection and answers the Close. Its error is the first
// thing that was wrong. Every message but the last is given to check as soon as the next one is
// there.
func (p *peer) readToClose(check func(message) error) (e ending, err error) {
	var parts assembler
	for {
		f, err := readFrame(p.br)
		if err != nil {
			return e, fmt.Errorf("after %d messages, no Close: %w", e.messages, err)
		}
		switch f.opcode {
		case opPing:
			err = p.send(clientFrame(true, opPong, f.payload))
		case opPong:
			if string(f.payload) != "ping" {
				err = fmt.Errorf("a pong %q that nobody asked for", f.payload)
			}
		case opClose:
			e.inMessage = parts.open
			if e.code, e.reason, err = parseClose(f.payload); err != nil {
				return e, err
			}
			if err := p.sendClose(f.payload); err != nil {
				return e, fmt.Errorf("answering the Close: %w", err)
			}
			return e, p.checkEOF()
		default:
			var m *message
			if m, err = parts.add(f, p.deflate); m != nil {
				if e.last.opcode != 0 {
					e.messages++
					err = errors.Join(err, check(e.last))
				}
				e.last = *m
			}
		}
		if err != nil {
			return e, err
		}
	}
}

// checkEOF returns an error unless the connection ends after the closing handshake as it should: by
// an EOF, not by a reset, without close_notify, or after another byte.
func (p *peer) checkEOF() error {
	rest, err := io.ReadAll(io.LimitReader(p.br, 100))
	switch {
	case len(rest) > 0:
		return fmt.Errorf("bytes after the Close: %q", rest)
	case err != nil:
		return fmt.Errorf("no clean EOF after the Close: %w", err)
	}
	return nil
}

// parseClose parses the payload of a Close frame.
func parseClose(payload []byte) (code int, reason string, err error) {
	if len(payload) == 0 {
		return 1005, "", nil
	}
	if len(payload) == 1 {
		return 0, "", errors.New("a Close with half a code")
	}
	code, reason = int(binary.BigEndian.Uint16(payload)), string(payload[2:])
	if !validCode(code) {
		return code, reason, fmt.Errorf("close code %d may not be sent", code)
	}
	if !utf8.ValidString(reason) {
		return code, reason, fmt.Errorf("the close reason %q is not UTF-8", reason)
	}
	return code, reason, nil
}

// An assembler makes messages of frames.
type assembler struct {
	open       bool // inside a message
	compressed bool
	opcode     byte
	data       []byte
}

// add returns the message if f is its last frame.
func (a *assembler) add(f frame, deflate bool) (*message, error) {
	switch {
	case a.open && f.opcode != opContinuation:
		return nil, fmt.Errorf("opcode %#x inside a fragmented message", f.opcode)
	case !a.open && f.opcode == opContinuation:
		return nil, errors.New("a continuation of nothing")
	case f.rsv&3 != 0, f.rsv != 0 && (!deflate || a.open):
		return nil, fmt.Errorf("reserved bits %03b, deflate=%v, inside a message=%v", f.rsv, deflate, a.open)
	}
	if !a.open {
		*a = assembler{opcode: f.opcode, compressed: f.rsv != 0}
	}
	a.data = append(a.data, f.payload...)
	a.open = !f.final
	if a.open {
		return nil, nil
	}
	data := a.data
	if a.compressed {
		var err error
		// RFC 7692, section 7.2.2, and a last block, which flate wants.
		tail := "\x00\x00\xff\xff\x01\x00\x00\xff\xff"
		if data, err = io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(data), strings.NewReader(tail)))); err != nil {
			return nil, fmt.Errorf("a message that doesn't inflate: %w", err)
		}
	}
	if a.opcode == opText && !utf8.Valid(data) {
		return nil, fmt.Errorf("a text message of %d bytes is not UTF-8", len(data))
	}
	return &message{a.opcode, string(data)}, nil
}
