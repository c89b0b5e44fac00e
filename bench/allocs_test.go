package bench

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

const runs = 200

func TestARequestCostsTwoAllocationsAtMost(t *testing.T) {
	handlers := map[string]http.Handler{
		"a body":           hello,
		"a typed document": typed,
		"nothing": http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		}),
		"a header and a string": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "no such thing")
		}),
	}
	for name, h := range handlers {
		t.Run(name, func(t *testing.T) {
			allocs := func(h http.Handler) float64 {
				w, r := newWriter(), request(t)
				return testing.AllocsPerRun(runs, func() { h.ServeHTTP(w, r) })
			}
			bare := allocs(h)
			assert.LessOrEqual(t, allocs(graceful(h)), bare+1, "wrapped once")
			assert.LessOrEqual(t, allocs(twice(h)), bare+1, "wrapped twice")
			assert.LessOrEqual(t, allocs(routed("/hello", h)), bare+1, "its rule by its route")
			assert.LessOrEqual(t, allocs(routed("GET /{name}", h)), bare+2, "its rule by a wildcard, for which ServeMux allocates")
			assert.LessOrEqual(t, allocs(ruled(h)), bare+2, "a rule of its own inside of another")
		})
	}
}

// routed wraps h in a Graceful whose table has a rule for the pattern.
func routed(pattern string, h http.Handler) http.Handler {
	var routes policy.Mux
	routes.Handle(pattern, policy.Rule{Spread: time.Second})
	return middleware.Graceful(&middleware.Drainer{Policy: &routes})(h)
}

// ruled wraps h in a Graceful with a rule for one route, inside of one for the whole server.
func ruled(h http.Handler) http.Handler {
	d := &middleware.Drainer{Policy: policy.Rule{Mercy: time.Second}}
	return middleware.Graceful(d)(middleware.Graceful(d, policy.Rule{Spread: time.Second})(h))
}

func TestAnEventCostsNoAllocation(t *testing.T) {
	allocs := func(wrap func(http.Handler) http.Handler) (n float64) {
		h := wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			control := http.NewResponseController(w)
			n = testing.AllocsPerRun(runs, func() {
				_, _ = w.Write(event)
				_, _ = io.WriteString(w, "data: a string is cheap as well\n\n")
				_ = control.Flush()
			})
		}))
		h.ServeHTTP(newWriter(), request(t))
		return n
	}
	assert.LessOrEqual(t, allocs(graceful), allocs(untouched))
}

// untouched is the bare side: it returns h.
func untouched(h http.Handler) http.Handler { return h }

func TestAFrameCostsNoAllocation(t *testing.T) {
	for _, size := range sizes {
		t.Run(size.name, func(t *testing.T) {
			out := frame(size.bytes, false)
			buf := make([]byte, 32<<10)
			allocs := func(wrap func(http.Handler) http.Handler) (n float64) {
				upgraded(t, wrap, size.bytes, func(c net.Conn) {
					n = testing.AllocsPerRun(runs, func() {
						_, _ = c.Write(out)
						_, _ = c.Read(buf)
						_ = c.SetReadDeadline(time.Time{})
						_ = c.SetWriteDeadline(time.Time{})
					})
				})
				return n
			}
			assert.LessOrEqual(t, allocs(graceful), allocs(untouched))
		})
	}
}

// upgraded calls use with a hijacked WebSocket connection, as a handler gets it, whose peer sends
// messages of the given size without end.
func upgraded(t *testing.T, wrap func(http.Handler) http.Handler, size int, use func(net.Conn)) {
	w, r := newWriter(), request(t)
	w.conn = &stubConn{message: frame(size, true)}
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		require.NoError(t, err)
		defer func() { _ = c.Close() }()
		_, err = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		require.NoError(t, err)
		use(c)
	})).ServeHTTP(w, r)
}

func TestAGorillaMessageCostsNoAllocation(t *testing.T) {
	for _, size := range sizes {
		t.Run(size.name, func(t *testing.T) {
			message := make([]byte, size.bytes)
			allocs := func(wrap func(http.Handler) http.Handler) (n float64) {
				w, r := newWriter(), request(t)
				w.conn = &stubConn{message: frame(64, true)}
				r.Header = http.Header{
					"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
					"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
				}
				wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					var upgrader websocket.Upgrader
					c, err := upgrader.Upgrade(w, r, nil)
					require.NoError(t, err)
					defer func() { _ = c.Close() }()
					n = testing.AllocsPerRun(runs, func() {
						_, _, err := c.ReadMessage()
						require.NoError(t, err)
						require.NoError(t, c.WriteMessage(websocket.BinaryMessage, message))
					})
				})).ServeHTTP(w, r)
				return n
			}
			assert.LessOrEqual(t, allocs(graceful), allocs(untouched))
		})
	}
}

// A stubConn is a connection whose peer sends the same message again and again and reads
// everything.
type stubConn struct {
	message []byte
	rest    bytes.Reader
}

func (c *stubConn) Read(p []byte) (int, error) {
	if c.rest.Len() == 0 {
		c.rest.Reset(c.message)
	}
	return c.rest.Read(p)
}

func (c *stubConn) Write(p []byte) (int, error)      { return len(p), nil }
func (c *stubConn) Close() error                     { return nil }
func (c *stubConn) LocalAddr() net.Addr              { return stubAddr{} }
func (c *stubConn) RemoteAddr() net.Addr             { return stubAddr{} }
func (c *stubConn) SetDeadline(time.Time) error      { return nil }
func (c *stubConn) SetReadDeadline(time.Time) error  { return nil }
func (c *stubConn) SetWriteDeadline(time.Time) error { return nil }

type stubAddr struct{}

func (stubAddr) Network() string { return "stub" }
func (stubAddr) String() string  { return "stub" }
