package format

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// accept answers a client's key (RFC 6455, section 4.2.2).
func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// A replay is a net.Conn from which one reads bytes and then EOF.
type replay struct {
	net.Conn
	in []byte
}

func (r *replay) Read(p []byte) (int, error) {
	if len(r.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.in)
	r.in = r.in[n:]
	return n, nil
}

func (r *replay) Write(p []byte) (int, error)      { return len(p), nil }
func (r *replay) Close() error                     { return nil }
func (r *replay) SetDeadline(time.Time) error      { return nil }
func (r *replay) SetReadDeadline(time.Time) error  { return nil }
func (r *replay) SetWriteDeadline(time.Time) error { return nil }

// A server is a net.Conn on which a client finds a server that answers its upgrade, and then sends
// frames and EOF.
type server struct {
	replay
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
	replay
}

func (c *client) Header() http.Header         { return http.Header{} }
func (c *client) WriteHeader(int)             {}
func (c *client) Write(p []byte) (int, error) { return len(p), nil }
func (c *client) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return &c.replay, bufio.NewReadWriter(bufio.NewReader(&c.replay), bufio.NewWriter(&c.replay)), nil
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

// FuzzAgainstGorilla has gorilla/websocket read the frames that are followed: where frames and
// messages are seen to end, it must have read the same, and a Close must be seen where it sees one.
func FuzzAgainstGorilla(f *testing.F) {
	f.Add([]byte{5, 5, 3, 200, 1, 1, 6, 2, 5, 9, 0})
	f.Add([]byte{0xFD, 0xFF, 4, 3, 2, 1, 6, 0})
	seeds(50, func(bytes, _ []byte, _ *rand.Rand) { f.Add(bytes) })
	f.Fuzz(func(t *testing.T, bytes []byte) {
		t.Run("outgoing", func(t *testing.T) {
			source := script(bytes)
			s := &server{frames: source.frames(false)}
			d := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return s, nil }}
			c, _, err := d.Dial("ws://x", nil)
			require.NoError(t, err)
			theirs, err := messages(c)
			assertEnd(t, err)

			var followed []string
			var message string
			o := Frames{Upgraded: true}
			for b := s.frames; len(b) > 0; {
				n := o.writeSome(b)
				require.True(t, o.AtBoundary(false) || o.Closed, "whole frames")
				if w, err := readWire(b, 0); assert.NoError(t, err) && w.op < opClose {
					message += string(w.payload)
					if o.AtBoundary(true) {
						followed, message = append(followed, message), ""
					}
				}
				b = b[n:]
			}
			assert.Equal(t, theirs, followed)
			assert.Equal(t, websocket.IsCloseError(err, 1000), o.Closed)
		})
		t.Run("incoming", func(t *testing.T) {
			source := script(bytes)
			frames := source.frames(true)
			w := &client{}
			c, err := (&websocket.Upgrader{}).Upgrade(w, upgradeRequest(), nil)
			require.NoError(t, err)
			w.in = frames
			_, err = messages(c)
			assertEnd(t, err)
			in := Frames{FromClient: true, Upgraded: true}
			_, _ = in.Write(frames)
			assert.Equal(t, websocket.IsCloseError(err, 1000), in.Closed)
			assert.False(t, in.Lost)
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
