package wsconn

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An upgrade is a ResponseWriter that gorilla's upgrader hijacks, and finds conn there.
type upgrade struct {
	http.ResponseWriter
	conn net.Conn
}

func (u *upgrade) Header() http.Header { return http.Header{} }
func (u *upgrade) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return u.conn, bufio.NewReadWriter(bufio.NewReader(u.conn), bufio.NewWriter(u.conn)), nil
}

func upgradeRequest() *http.Request {
	return &http.Request{Method: http.MethodGet, Header: http.Header{
		"Upgrade": {"websocket"}, "Connection": {"Upgrade"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
	}}
}

// A hijacker gives the handler a Conn, as a middleware would.
type hijacker struct {
	http.ResponseWriter
	conns    chan *Conn
	onCloses chan State
}

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	inner, brw, err := h.ResponseWriter.(http.Hijacker).Hijack()
	if err != nil {
		return nil, nil, err
	}
	early, _ := brw.Peek(brw.Reader.Buffered())
	var c *Conn
	bottom := inner
	if secured, ok := inner.(*tls.Conn); ok {
		bottom = secured.NetConn()
	}
	c = New(inner, Options{Early: early, Abort: func() { _ = bottom.Close() }, OnClose: func() { h.onCloses <- c.State() }})
	brw.Writer.Reset(c.Handle())
	h.conns <- c
	return c.Handle(), brw, nil
}

// A site is an HTTP server over TCP whose handler's connections are Conns.
type site struct {
	*httptest.Server
	conns    chan *Conn
	onCloses chan State
	handled  chan error // what a handler ended with
}

func newSite(t *testing.T, secure bool, handler func(http.ResponseWriter, *http.Request) error) *site {
	t.Helper()
	s := &site{conns: make(chan *Conn, 1), onCloses: make(chan State, 1), handled: make(chan error, 1)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.handled <- handler(hijacker{w, s.conns, s.onCloses}, r)
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
			conn.Farewell(bye, 0)

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
			assert.Equal(t, State{FarewellWritten: true, PeerSentClose: true, HandlerClosed: true}, <-s.onCloses)
		})
	}
}

// TestNoReset has a handler that closes with bytes of the peer unread: closing the socket then
// would reset it.
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
			conn.Farewell(bye, 0)
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
			assert.Equal(t, State{FarewellWritten: true, PeerSentClose: true, HandlerClosed: true}, <-s.onCloses)
		})
	}
}

// TestStuckPeer has a handler in the middle of a frame that its peer doesn't read: nobody waits for
// it, and Cut frees it.
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
			conn.Farewell(bye, 0)
			conn.DropMessage()
			conn.Finish()
			assert.Empty(t, s.handled, "the handler is stuck")
			conn.Cut()
			assert.Error(t, <-s.handled)
			assert.Equal(t, State{HandlerClosed: true, WasCut: true}, <-s.onCloses)
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
		(<-w.(hijacker).conns).Farewell(bye, 0)
		return errors.Join(err, c.Close())
	})
	r, err := s.Client().Get(s.URL)
	require.NoError(t, err)
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	assert.Equal(t, "bad", string(body))
	require.NoError(t, <-s.handled)
	assert.Equal(t, State{Lost: true, HandlerClosed: true}, <-s.onCloses)
}
