package middleware_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// What fails because the drain has ended it, fails with stream.ErrDraining, beside what it fails
// with by itself; what fails because the client has left doesn't.
func TestErrorsTellTheDrain(t *testing.T) {
	hijack := func(t *testing.T, w http.ResponseWriter) net.Conn {
		c, _, err := w.(http.Hijacker).Hijack()
		assert.NoError(t, err)
		return c
	}
	for name, c := range map[string]struct {
		header  string // of the request
		handler func(t *testing.T, w http.ResponseWriter, r *http.Request) error
		also    error
	}{
		"a read of an upload": {"Content-Length: 10", func(_ *testing.T, _ http.ResponseWriter, r *http.Request) error {
			_, err := io.ReadAll(r.Body)
			return err
		}, os.ErrDeadlineExceeded},
		"a read of an upload under a limit": {"Content-Length: 10", func(_ *testing.T, w http.ResponseWriter, r *http.Request) error {
			_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 100))
			return err
		}, os.ErrDeadlineExceeded},
		"a write to a response that was cut": {"Accept: */*", func(_ *testing.T, w http.ResponseWriter, _ *http.Request) (err error) {
			for err == nil {
				time.Sleep(100 * time.Millisecond)
				_, err = w.Write([]byte("x"))
				_ = http.NewResponseController(w).Flush()
			}
			return err
		}, net.ErrClosed},
		"a read of a hijacked connection": {"Upgrade: tcp", func(t *testing.T, w http.ResponseWriter, _ *http.Request) error {
			conn := hijack(t, w)
			defer conn.Close()
			_, err := io.ReadAll(conn)
			return err
		}, io.ErrClosedPipe}, // which this network has in place of net.ErrClosed
		"a write to a WebSocket": {"Upgrade: websocket\r\nConnection: Upgrade", func(t *testing.T, w http.ResponseWriter, _ *http.Request) (err error) {
			conn := hijack(t, w)
			defer conn.Close()
			_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
			for err == nil {
				time.Sleep(100 * time.Millisecond)
				_, err = conn.Write([]byte{0x81, 1, 'x'})
			}
			return err
		}, net.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, drain := range []bool{true, false} {
					d := &middleware.Drainer{Policy: policy.Rule{Grace: policy.AtOnce, Timeout: time.Second, Mercy: time.Second}}
					got := make(chan error, 1)
					r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got <- c.handler(t, w, r) }))
					conn, err := r.net.Dial(t.Context(), "", "")
					require.NoError(t, err)
					_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: memory\r\n"+c.header+"\r\n\r\n")
					require.NoError(t, err)
					var read strings.Builder
					ended := make(chan struct{})
					go func() {
						_, _ = io.Copy(&read, conn)
						close(ended)
					}()
					synctest.Wait()
					if drain {
						r.drain()
					} else {
						_ = conn.Close()
					}
					if err := <-got; drain {
						assert.ErrorIs(t, err, stream.ErrDraining)
						assert.ErrorIs(t, err, c.also)
						var timeout interface{ Timeout() bool }
						if errors.As(err, &timeout) {
							assert.Equal(t, c.also == os.ErrDeadlineExceeded, timeout.Timeout())
						}
					} else {
						assert.NotErrorIs(t, err, stream.ErrDraining)
					}
					_, err = r.end()
					assert.NoError(t, err)
					_ = conn.Close()
					<-ended
				}
			})
		})
	}
}
