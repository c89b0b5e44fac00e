package ws

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// accept answers a client's key (RFC 6455, section 4.2.2).
func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// A server is a net.Conn on which a client finds a server that answers its upgrade, and then sends frames and EOF.
type server struct {
	tape
	frames []byte
}

func (s *server) Write(p []byte) (int, error) {
	if r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(p))); err == nil {
		s.in = []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
			accept(r.Header.Get("Sec-WebSocket-Key")) + "\r\n\r\n")
		s.in = append(s.in, s.frames...)
	}
	return len(p), nil
}

// A client is a ResponseWriter that gorilla's upgrader hijacks, and finds frames and EOF there.
type client struct {
	http.ResponseWriter
	tape
	instead net.Conn // hijacked instead of the tape
}

func (c *client) Header() http.Header         { return http.Header{} }
func (c *client) WriteHeader(int)             {}
func (c *client) Write(p []byte) (int, error) { return len(p), nil }
func (c *client) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	var conn net.Conn = &c.tape
	if c.instead != nil {
		conn = c.instead
	}
	return conn, bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn)), nil
}

func upgradeRequest() *http.Request {
	return &http.Request{Method: http.MethodGet, Header: http.Header{
		"Upgrade": {"websocket"}, "Connection": {"Upgrade"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
	}}
}

// messages is what gorilla reads, and the error that ends it.
func messages(c *websocket.Conn) (all []string, err error) {
	for {
		_, r, err := c.NextReader()
		if err != nil {
			return all, err
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return all, err
		}
		all = append(all, string(b))
	}
}

// FuzzAgainstGorilla has gorilla/websocket read the frames that we follow: where we see frames and messages end, it must
// have read the same, and we must see a Close where it does.
func FuzzAgainstGorilla(f *testing.F) {
	f.Add([]byte{5, 5, 3, 200, 1, 1, 6, 2, 5, 9, 0})
	f.Add([]byte{0xFD, 0xFF, 4, 3, 2, 1, 6, 0})
	seeds(50, func(script, _ []byte, _ *rand.Rand) { f.Add(script) })
	f.Fuzz(func(t *testing.T, script []byte) {
		t.Run("outgoing", func(t *testing.T) {
			source := tap(script)
			s := &server{frames: source.frames(false)}
			d := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return s, nil }}
			c, _, err := d.Dial("ws://x", nil)
			require.NoError(t, err)
			theirs, err := messages(c)
			assertEnd(t, err)

			var ours []string
			var message string
			o := outgoing{phase: inFrames}
			for b := s.frames; len(b) > 0; {
				n := o.next(b)
				require.True(t, o.at(false) || o.closed, "whole frames")
				if w, err := readWire(b, 0); assert.NoError(t, err) && w.op < opClose {
					message += string(w.payload)
					if o.at(true) {
						ours, message = append(ours, message), ""
					}
				}
				b = b[n:]
			}
			assert.Equal(t, theirs, ours)
			assert.Equal(t, websocket.IsCloseError(err, 1000), o.closed)
		})
		t.Run("incoming", func(t *testing.T) {
			source := tap(script)
			frames := source.frames(true)
			w := &client{}
			c, err := (&websocket.Upgrader{}).Upgrade(w, upgradeRequest(), nil)
			require.NoError(t, err)
			w.in = frames
			_, err = messages(c)
			assertEnd(t, err)
			var in incoming
			assert.Equal(t, websocket.IsCloseError(err, 1000), in.follow(frames))
			assert.False(t, in.lost)
		})
	})
}

// assertEnd asserts that gorilla read to the end, and found nothing wrong.
func assertEnd(t *testing.T, err error) {
	t.Helper()
	if !websocket.IsCloseError(err, 1000) && !websocket.IsUnexpectedCloseError(err, 1000) {
		assert.ErrorIs(t, err, io.EOF)
	}
	assert.False(t, websocket.IsCloseError(err, websocket.CloseProtocolError), "%v", err)
}

// A hijacker gives the handler a Conn, as a middleware would.
type hijacker struct {
	http.ResponseWriter
	conns chan *Conn
	overs chan State
}

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	inner, brw, err := h.ResponseWriter.(http.Hijacker).Hijack()
	if err != nil {
		return nil, nil, err
	}
	early, _ := brw.Peek(brw.Reader.Buffered())
	var c *Conn
	c = New(inner, Options{Early: early, OnClose: func() { h.overs <- c.State() }})
	brw.Writer.Reset(c.Handle())
	h.conns <- c
	return c.Handle(), brw, nil
}

// A site is an HTTP server over TCP whose handler's connections are Conns.
type site struct {
	*httptest.Server
	conns   chan *Conn
	overs   chan State
	handled chan error // what a handler ended with
}

func newSite(t *testing.T, secure bool, handler func(http.ResponseWriter, *http.Request) error) *site {
	t.Helper()
	s := &site{conns: make(chan *Conn, 1), overs: make(chan State, 1), handled: make(chan error, 1)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.handled <- handler(hijacker{w, s.conns, s.overs}, r)
	}))
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// dial connects a gorilla client.
func (s *site) dial(t *testing.T) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	c, _, err := d.Dial("ws"+strings.TrimPrefix(s.URL, "http"), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

var transports = map[string]bool{"plain": false, "TLS": true}

// echo is a plain gorilla handler.
func echo(w http.ResponseWriter, r *http.Request) error {
	c, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		kind, p, err := c.ReadMessage()
		if err != nil {
			return err
		}
		if err := c.WriteMessage(kind, p); err != nil {
			return err
		}
	}
}

func TestGorilla(t *testing.T) {
	for name, secure := range transports {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, secure, echo)
			c := s.dial(t)
			for _, size := range []int{0, 1, 125, 126, 4000, 4096, 65535, 65536, 300_000} {
				sent := bytes.Repeat([]byte{'x'}, size)
				require.NoError(t, c.WriteMessage(websocket.BinaryMessage, sent))
				_, got, err := c.ReadMessage()
				require.NoError(t, err)
				require.Equal(t, sent, got)
			}
			conn := <-s.conns
			conn.Farewell(bye)

			kind, last, err := c.ReadMessage()
			require.NoError(t, err)
			assert.Equal(t, websocket.TextMessage, kind)
			assert.Equal(t, "bye", string(last))
			_, _, err = c.ReadMessage() // and answers
			var closed *websocket.CloseError
			require.ErrorAs(t, err, &closed)
			assert.Equal(t, websocket.CloseError{Code: 1012, Text: "service restart"}, *closed)

			assert.True(t, websocket.IsCloseError(<-s.handled, 1012), "the handler's own loop sees the peer's Close")
			_, err = c.NetConn().Read(make([]byte, 1))
			assert.Equal(t, io.EOF, err, "no reset")
			assert.Equal(t, State{Following: true, Said: true, Answered: true, Closed: true}, <-s.overs)
		})
	}
}

// TestNoReset has a handler that closes with bytes of the peer unread: closing the socket then would reset it.
func TestNoReset(t *testing.T) {
	for name, secure := range transports {
		t.Run(name, func(t *testing.T) {
			proceed := make(chan bool)
			s := newSite(t, secure, func(w http.ResponseWriter, r *http.Request) error {
				c, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
				if err != nil {
					return err
				}
				<-proceed
				return c.Close()
			})
			c := s.dial(t)
			conn := <-s.conns
			conn.Farewell(bye)
			for range 10 {
				require.NoError(t, c.WriteMessage(websocket.TextMessage, make([]byte, 1000)))
			}
			proceed <- true
			require.NoError(t, <-s.handled)
			_, _, err := c.ReadMessage()
			require.NoError(t, err)
			_, _, err = c.ReadMessage()
			assert.True(t, websocket.IsCloseError(err, 1012), "%v", err)
			_, err = c.NetConn().Read(make([]byte, 1))
			assert.Equal(t, io.EOF, err, "no reset")
			assert.Equal(t, State{Following: true, Said: true, Answered: true, Closed: true}, <-s.overs)
		})
	}
}

// TestStuckPeer has a handler in the middle of a frame that its peer doesn't read: nobody waits for it, and Cut frees it.
func TestStuckPeer(t *testing.T) {
	for name, secure := range transports {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, secure, func(w http.ResponseWriter, r *http.Request) error {
				c, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
				if err != nil {
					return err
				}
				defer c.Close()
				return c.WriteMessage(websocket.BinaryMessage, make([]byte, 64<<20)) // more than any socket holds
			})
			c := s.dial(t)
			_, err := io.ReadFull(c.NetConn(), make([]byte, 8192))
			require.NoError(t, err)
			conn := <-s.conns
			conn.Farewell(bye)
			conn.Insist()
			conn.Finish()
			assert.Empty(t, s.handled, "the handler is stuck")
			conn.Cut()
			assert.Error(t, <-s.handled)
			assert.Equal(t, State{Following: true, Closed: true, CutOff: true}, <-s.overs)
		})
	}
}

// TestRefusedUpgrade has a handler that hijacks and refuses, as some libraries do.
func TestRefusedUpgrade(t *testing.T) {
	s := newSite(t, false, func(w http.ResponseWriter, _ *http.Request) error {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return err
		}
		_, err = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbad")
		(<-w.(hijacker).conns).Farewell(bye)
		return errors.Join(err, c.Close())
	})
	r, err := s.Client().Get(s.URL)
	require.NoError(t, err)
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	assert.Equal(t, "bad", string(body))
	require.NoError(t, <-s.handled)
	assert.Equal(t, State{Closed: true}, <-s.overs)
}
