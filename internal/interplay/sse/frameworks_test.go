package sse

//lint:file-ignore SA1019 x/net's h2c and CloseNotifier are still in use

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gin-gonic/gin"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// gin's Stream asserts a CloseNotifier on the writer inside of its own, and panics where there is none.
func TestGinStream(t *testing.T) {
	for _, p := range protocols {
		for name, in := range map[string]func(graceful wrap, stream gin.HandlerFunc) http.Handler{
			"around gin": func(graceful wrap, stream gin.HandlerFunc) http.Handler {
				r := gin.New()
				r.GET("/", stream)
				return graceful(r)
			},
			"inside gin": func(graceful wrap, stream gin.HandlerFunc) http.Handler {
				r := gin.New()
				r.GET("/", func(c *gin.Context) {
					w := c.Writer
					graceful(http.HandlerFunc(func(inner http.ResponseWriter, r *http.Request) {
						c.Writer, c.Request = ginWriter{w, inner}, r
						stream(c)
					})).ServeHTTP(w, c.Request)
				})
				return r
			},
		} {
			t.Run(name+"/"+p.name, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce, Mercy: patience / 2}}
				s := serve(t, p, in(middleware.Graceful(d), func(c *gin.Context) {
					n := 0
					c.Stream(func(w io.Writer) bool {
						c.SSEvent("", payload(n, 0))
						n++
						return c.Request.Context().Err() == nil
					})
				}))
				res, err := s.get()
				require.NoError(t, err)
				defer res.Body.Close()
				require.Equal(t, http.StatusOK, res.StatusCode)
				m := &moment{now: make(chan struct{}), events: 20}
				over := make(chan ending, 1)
				go func() {
					e, err := follow(res.Body, func() { m.note(0, 1) })
					assert.NoError(t, err)
					m.note(0, 1000)
					over <- e
				}()
				m.wait(t)
				shutdown(t, d)
				assert.True(t, (<-over).told)
				assert.EqualValues(t, 1, d.Report().Told, "%+v", d.Report())
				s.close()
			})
		}
	}
}

// ginWriter is gin's writer around ours, as an adapter for middleware makes it.
type ginWriter struct {
	gin.ResponseWriter
	inner http.ResponseWriter
}

func (w ginWriter) WriteHeader(code int)              { w.inner.WriteHeader(code) }
func (w ginWriter) Write(p []byte) (int, error)       { return w.inner.Write(p) }
func (w ginWriter) WriteString(s string) (int, error) { return io.WriteString(w.inner, s) }
func (w ginWriter) Flush()                            { w.inner.(http.Flusher).Flush() }
func (w ginWriter) CloseNotify() <-chan bool {
	return w.inner.(http.CloseNotifier).CloseNotify()
}

// coder/websocket takes a writer that says it can hijack by its word, and answers 101 before it finds out.
func TestCoderOverHTTP2(t *testing.T) {
	accept := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// HTTP/2 has none of these, and its client may send none.
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Sec-WebSocket-Version", "13")
		r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
		r.ProtoMajor, r.ProtoMinor = 1, 1
		c, err := websocket.Accept(w, r, nil)
		if assert.Error(t, err) {
			return
		}
		c.CloseNow()
	})
	for _, p := range protocols {
		if p.major == 1 {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			ask := func(h http.Handler) (int, string) {
				s := serve(t, p, h)
				defer s.close()
				res, err := s.get()
				require.NoError(t, err)
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				return res.StatusCode, string(body)
			}
			bare, text := ask(accept)
			status, got := ask(middleware.Graceful(new(middleware.Drainer))(accept))
			assert.Equal(t, http.StatusNotImplemented, bare)
			assert.Equal(t, bare, status)
			assert.Equal(t, text, got)
		})
	}
}

// Around x/net's h2c handler all of a connection's streams are one hijacked connection, into which nothing is written.
func TestAroundH2C(t *testing.T) {
	d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce, Mercy: 50 * time.Millisecond}}
	p := protocols[3]
	p.set = func(s *http.Server) { s.Handler = middleware.Graceful(d)(h2c.NewHandler(s.Handler, new(http2.Server))) }
	s := serve(t, p, http.HandlerFunc(byHand))
	res, err := s.get()
	require.NoError(t, err)
	defer res.Body.Close()
	m := &moment{now: make(chan struct{}), events: 20}
	over := make(chan ending, 1)
	go func() {
		e, err := follow(res.Body, func() { m.note(0, 1) })
		assert.NoError(t, err, "its context reaches the streams, which end before the connection is cut")
		m.note(0, 1000)
		over <- e
	}()
	m.wait(t)
	shutdown(t, d)
	assert.False(t, (<-over).told)
	report := d.Report()
	assert.Equal(t, 1, report.Found.Other, "%+v", report)
	assert.EqualValues(t, 1, report.Cut, "%+v", report)
	s.close()
}

// What echo reaches with its response, through ours or around it, is what net/http has.
func TestEchoResponseController(t *testing.T) {
	for _, p := range protocols {
		for _, r := range routers {
			if r.name != "around echo" && r.name != "inside echo" {
				continue
			}
			t.Run(r.name+"/"+p.name, func(t *testing.T) {
				d := new(middleware.Drainer)
				e := echo.New()
				h := http.Handler(e)
				if r.name == "inside echo" {
					e.Use(echo.WrapMiddleware(middleware.Graceful(d)))
				} else {
					h = middleware.Graceful(d)(e)
				}
				e.GET("/", func(c echo.Context) error {
					control := http.NewResponseController(c.Response())
					assert.NoError(t, control.SetWriteDeadline(time.Now().Add(patience)))
					assert.NoError(t, control.SetReadDeadline(time.Now().Add(patience)))
					assert.NoError(t, control.EnableFullDuplex())
					assert.NoError(t, control.Flush())
					if _, err := io.WriteString(c.Response(), "ok"); err != nil {
						return err
					}
					if p.major == 1 {
						return nil
					}
					_, _, err := control.Hijack()
					assert.ErrorIs(t, err, http.ErrNotSupported)
					return nil
				})
				s := serve(t, p, h)
				res, err := s.get()
				require.NoError(t, err)
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				assert.NoError(t, err)
				assert.Equal(t, "200 ok", fmt.Sprint(res.StatusCode, " ", string(body)))
				s.close()
			})
		}
	}
}

func shutdown(t *testing.T, d *middleware.Drainer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, d.Shutdown(ctx))
}
