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
)

// A peer is a client over a bare connection that forgives nothing.
type peer struct {
	net.Conn
	br      *bufio.Reader
	deflate bool // permessage-deflate was agreed on, without context takeover (RFC 7692)

	mu    sync.Mutex // guards following, and is held while a frame goes out
	quiet bool       // nothing may follow: our Close is out
}

func newPeer(c net.Conn) *peer { return &peer{Conn: c, br: bufio.NewReader(c)} }

// dial connects and shakes hands.
func dial(tb testing.TB, addr string, secure bool) *peer {
	tb.Helper()
	var d net.Dialer
	return handshake(tb, &d, addr, secure)
}

func handshake(tb testing.TB, d *net.Dialer, addr string, secure bool) *peer {
	tb.Helper()
	c, err := d.Dial("tcp", addr)
	require.NoError(tb, err)
	if secure {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	}
	require.NoError(tb, c.SetDeadline(time.Now().Add(patience)))
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

// send writes frames in one piece, unless our Close is out.
func (p *peer) send(frames ...[]byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.quiet {
		return nil
	}
	_, err := p.Write(bytes.Join(frames, nil))
	return err
}

// sendClose writes a Close, once.
func (p *peer) sendClose(payload []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.quiet {
		return nil
	}
	p.quiet = true
	_, err := p.Write(clientFrame(true, opClose, payload))
	return err
}

// A message is a whole one, inflated.
type message struct {
	opcode byte
	data   string
}

// An ending is what a peer has seen at the end.
type ending struct {
	messages int     // before the last
	last     message // the zero message if there was none
	within   bool    // the Close came inside a fragmented message
	code     int
	reason   string
}

// listen reads to the end, answers the Close, and returns what it saw or the first thing that was wrong. Each message
// goes to check before the next is read, but for the last: that is known for the last only when the Close is there.
func (p *peer) listen(check func(message) error) (e ending, err error) {
	var parts assembly
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
			e.within = parts.open
			if e.code, e.reason, err = closing(f.payload); err != nil {
				return e, err
			}
			if err := p.sendClose(f.payload); err != nil {
				return e, fmt.Errorf("answering the Close: %w", err)
			}
			return e, p.atEnd()
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

// atEnd tells what is wrong with what follows the closing handshake: an EOF is right, a reset, a missing close_notify
// or another byte is not.
func (p *peer) atEnd() error {
	rest, err := io.ReadAll(io.LimitReader(p.br, 100))
	switch {
	case len(rest) > 0:
		return fmt.Errorf("bytes after the Close: %q", rest)
	case err != nil:
		return fmt.Errorf("no clean EOF after the Close: %w", err)
	}
	return nil
}

// closing reads a Close frame's payload.
func closing(payload []byte) (code int, reason string, err error) {
	if len(payload) == 0 {
		return 1005, "", nil
	}
	if len(payload) == 1 {
		return 0, "", errors.New("a Close with half a code")
	}
	code, reason = int(binary.BigEndian.Uint16(payload)), string(payload[2:])
	if !mayClose(code) {
		return code, reason, fmt.Errorf("close code %d may not be sent", code)
	}
	if !utf8.ValidString(reason) {
		return code, reason, fmt.Errorf("the close reason %q is not UTF-8", reason)
	}
	return code, reason, nil
}

// An assembly puts messages together from frames.
type assembly struct {
	open   bool
	packed bool
	opcode byte
	data   []byte
}

func (a *assembly) add(f frame, deflate bool) (*message, error) {
	switch {
	case a.open && f.opcode != opContinuation:
		return nil, fmt.Errorf("opcode %#x inside a fragmented message", f.opcode)
	case !a.open && f.opcode == opContinuation:
		return nil, errors.New("a continuation of nothing")
	case f.rsv&3 != 0, f.rsv != 0 && (!deflate || a.open):
		return nil, fmt.Errorf("reserved bits %03b, deflate=%v, inside a message=%v", f.rsv, deflate, a.open)
	}
	if !a.open {
		*a = assembly{opcode: f.opcode, packed: f.rsv != 0}
	}
	a.data = append(a.data, f.payload...)
	a.open = !f.final
	if a.open {
		return nil, nil
	}
	data := a.data
	if a.packed {
		var err error
		tail := "\x00\x00\xff\xff\x01\x00\x00\xff\xff" // RFC 7692, section 7.2.2, and a last block for flate's sake
		if data, err = io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(data), strings.NewReader(tail)))); err != nil {
			return nil, fmt.Errorf("a message that doesn't inflate: %w", err)
		}
	}
	if a.opcode == opText && !utf8.Valid(data) {
		return nil, fmt.Errorf("a text message of %d bytes is not UTF-8", len(data))
	}
	return &message{a.opcode, string(data)}, nil
}
