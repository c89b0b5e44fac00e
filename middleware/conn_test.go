package middleware_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// next is a handler that needs a moment, and gives up when its context ends.
func next(w http.ResponseWriter, r *http.Request) {
	timer := time.NewTimer(5 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		_, _ = io.WriteString(w, "whole")
	case <-r.Context().Done():
	}
}

const nextRequest = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n"

// aConn is a client's connection to h over loopback.
type aConn struct {
	net.Conn
	t  *testing.T
	br *bufio.Reader
}

func connTo(t *testing.T, d *middleware.Drainer, h http.Handler) aConn {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ConnContext = d.ConnContext
	srv.Start()
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	t.Cleanup(func() { c.Close(); srv.Close() })
	return aConn{c, t, bufio.NewReader(c)}
}

func (c aConn) send(request string) {
	c.t.Helper()
	_, err := io.WriteString(c, request)
	require.NoError(c.t, err)
}

func (c aConn) response() *http.Response {
	c.t.Helper()
	res, err := http.ReadResponse(c.br, nil)
	require.NoError(c.t, err)
	return res
}

// body reads a body to its end, which must be a clean one.
func (c aConn) body(res *http.Response) string {
	c.t.Helper()
	body, err := io.ReadAll(res.Body)
	require.NoError(c.t, err)
	return string(body)
}

// A stream's connection is closed for reading when the stream has been told to come back, for it to
// come to another replica. net/http cancels the context of a request that is there already.
func TestRequestBehindAToldStreamIsRefused(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/events", quiet)
	mux.HandleFunc("/next", next)
	rule := policy.Rule{Timeout: policy.AtOnce, Ending: policy.CleanEnding}
	for name, tell := range map[string]func(*testing.T, *middleware.Drainer){
		"by Shed": func(t *testing.T, d *middleware.Drainer) {
			_, err := d.Shed(t.Context(), middleware.ShedOptions{N: 1})
			assert.NoError(t, err)
		},
		"by its age": func(*testing.T, *middleware.Drainer) {},
	} {
		t.Run(name, func(t *testing.T) {
			rule := rule
			if name == "by its age" {
				rule.MaxAge = 100 * time.Millisecond
			}
			const rounds = 10
			d := &middleware.Drainer{Policy: rule}
			defer d.Close()
			for range rounds {
				c := connTo(t, d, middleware.Graceful(d)(mux))
				c.send("GET /events HTTP/1.1\r\nHost: h\r\n\r\n" + nextRequest)
				stream := c.response()
				tell(t, d)
				assert.Contains(t, c.body(stream), "event: shutdown")
				res := c.response()
				assert.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
				assert.True(t, res.Close, "Connection: close")
				assert.NotEmpty(t, res.Header.Get("Retry-After"))
				assert.Equal(t, "this connection is closing; please retry\n", c.body(res))
				_, err := c.br.ReadByte()
				assert.ErrorIs(t, err, io.EOF)
			}
			before := d.Report().Before
			assert.Equal(t, middleware.Outcomes{Told: rounds, Refused: rounds}, before)
		})
	}
}

// What a drain does to a finite response must not reach the next one on its connection, once the
// drain has been taken back.
func TestNextRequestAfterResumeHasALiveContext(t *testing.T) {
	const post = "POST /first HTTP/1.1\r\nHost: h\r\nContent-Length: "
	for name, c := range map[string]struct {
		request string
		handler func(w http.ResponseWriter, r *http.Request)
		want    string // of the first response
		closed  bool   // its connection
	}{
		"without a body": {"GET /first HTTP/1.1\r\nHost: h\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}, "late", false},
		"behind a body": {post + "4\r\n\r\nbody", func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			assert.Equal(t, "body", string(body))
			<-r.Context().Done()
		}, "late", false},
		"behind a chunked body": {"POST /first HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			assert.NoError(t, err)
			<-r.Context().Done()
		}, "late", false},
		"behind a body that nobody reads": {post + "4\r\n\r\nbody", func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}, "late", true},
		"within a body": {post + "100\r\n\r\nbody", func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			assert.Error(t, err)
		}, "late", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				canceled, resumed := make(chan struct{}), make(chan struct{})
				mux := http.NewServeMux()
				mux.HandleFunc("/next", next)
				mux.HandleFunc("/first", func(w http.ResponseWriter, r *http.Request) {
					c.handler(w, r)
					close(canceled)
					<-resumed
					_, _ = io.WriteString(w, "late")
				})
				d := &middleware.Drainer{Policy: policy.Rule{Grace: policy.AtOnce, Mercy: 10 * time.Second}}
				r := serve(t, d, mux)
				inner, err := r.net.Dial(t.Context(), "", "")
				require.NoError(t, err)
				conn := aConn{inner, t, bufio.NewReader(inner)}
				conn.send(c.request)
				synctest.Wait() // until the handler has read what there is
				d.Drain()
				<-canceled
				synctest.Wait() // until its reading was ended, too
				require.NoError(t, d.Resume())
				close(resumed)
				res := conn.response()
				assert.Equal(t, c.want, conn.body(res))
				require.Equal(t, c.closed, res.Close, "Connection: close")
				for range 3 {
					if c.closed {
						break
					}
					conn.send(nextRequest)
					res := conn.response()
					assert.Equal(t, http.StatusOK, res.StatusCode)
					assert.Equal(t, "whole", conn.body(res))
				}
				require.NoError(t, conn.Close())
				_, err = r.end()
				assert.NoError(t, err)
			})
		})
	}
}

// A handler that answers while it still reads has sent its header before its reading was ended: its
// connection can only be refused to the next request.
func TestRequestBehindAnUploadThatWasEndedIsRefused(t *testing.T) {
	for name, known := range map[string]bool{"with ConnContext": true, "without it": false} {
		t.Run(name, func(t *testing.T) {
			d := &middleware.Drainer{Policy: policy.Rule{Grace: policy.AtOnce, Mercy: 10 * time.Second}}
			defer d.Close()
			resumed, canceled := make(chan struct{}), make(chan struct{})
			mux := http.NewServeMux()
			mux.HandleFunc("/next", next)
			mux.HandleFunc("/duplex", func(w http.ResponseWriter, r *http.Request) {
				assert.NoError(t, http.NewResponseController(w).EnableFullDuplex())
				w.Header().Set("Content-Length", "4")
				w.(http.Flusher).Flush()
				_, err := io.ReadAll(r.Body)
				assert.Error(t, err)
				close(canceled)
				<-resumed
				_, _ = io.WriteString(w, "done")
			})
			h := middleware.Graceful(d)(mux)
			if !known {
				h = http.HandlerFunc(func(inner http.Handler) http.HandlerFunc {
					return func(w http.ResponseWriter, r *http.Request) {
						inner.ServeHTTP(w, r.WithContext(withoutConn{r.Context()}))
					}
				}(h))
			}
			conn := connTo(t, d, h)
			conn.send("POST /duplex HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n")
			res := conn.response()
			d.Drain()
			<-canceled
			require.NoError(t, d.Resume())
			close(resumed)
			assert.Equal(t, "done", conn.body(res))
			conn.send(nextRequest)
			res, err := http.ReadResponse(conn.br, nil)
			if err == nil {
				assert.NotEqual(t, http.StatusOK, res.StatusCode)
				assert.True(t, res.Close, "Connection: close")
			}
		})
	}
}

// withoutConn is a request's context from a server that was not given Drainer.ConnContext: it has
// net/http's own values only.
type withoutConn struct{ context.Context }

func (c withoutConn) Value(key any) any {
	if key == http.ServerContextKey || key == http.LocalAddrContextKey {
		return c.Context.Value(key)
	}
	return nil
}
