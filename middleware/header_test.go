package middleware_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// What a handler makes of its request's method changes nothing of the response:
// net/http goes by the method that came.
func TestMethodThatTheHandlerChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Grace: 2 * time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Method = http.MethodHead
			_, _ = io.WriteString(w, "half of it")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}))
		got := r.later("/")
		r.drain()
		report := r.ended(2 * time.Second)
		a := <-got
		assert.ErrorIs(t, a.err, io.ErrUnexpectedEOF, "it is not whole")
		assert.EqualValues(t, 1, report.Cut)
	})
}

// calm has no effect once its connection was hijacked, as many writers of other
// middleware.
type calm struct {
	http.ResponseWriter
	hijacked bool
}

func (w *calm) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.hijacked = true
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

func (w *calm) Flush() {
	if !w.hijacked {
		_ = http.NewResponseController(w.ResponseWriter).Flush()
	}
}

// A connection that was hijacked is a stream, whatever is done to the writer then.
func TestFlushAfterTheHijack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := upgrader.Upgrade(w, r, nil)
			if !assert.NoError(t, err) {
				return
			}
			defer c.Close()
			w.(http.Flusher).Flush()
			assert.Equal(t, policy.Infinite, stream.From(r.Context()).Kind())
			_, _, err = c.ReadMessage()
			assert.Error(t, err)
		}))
		r := serveAll(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(&calm{ResponseWriter: w}, r)
		}))
		c := r.dial("/")
		reading := make(chan error)
		go func() {
			_, _, err := c.ReadMessage()
			reading <- err
		}()
		r.drain()
		assert.Equal(t, websocket.CloseServiceRestart, closeOf(t, <-reading).Code)
		assert.EqualValues(t, 1, told(r.ended(0)))
	})
}

// typedAround is middleware around us that makes all it serves an event stream.
func typedAround(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		next.ServeHTTP(w, r)
	})
}

// A file that is copied into a stream whose type somebody around us has set is
// followed like all else that goes into it.
func TestFileIntoAStreamThatSomebodyElseTyped(t *testing.T) {
	for name, c := range map[string]struct {
		headerFirst bool
		file        string
		flush       bool
	}{
		"behind the header":            {true, "data: a\n", true},
		"first, and more than a sniff": {false, strings.Repeat("data: a\n\n", 100) + "data: a\n", true},
		"too much to be held up":       {true, strings.Repeat("data: a\n\n", 1000) + "data: a\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				name := filepath.Join(t.TempDir(), "events")
				require.NoError(t, os.WriteFile(name, []byte(c.file), 0o600))
				d := &middleware.Drainer{}
				r := serveAll(t, d, typedAround(middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if c.headerFirst {
						w.WriteHeader(http.StatusOK)
					}
					f, err := os.Open(name)
					if !assert.NoError(t, err) {
						return
					}
					_, _ = io.Copy(w, f)
					_ = f.Close()
					if c.flush {
						w.(http.Flusher).Flush()
					}
					time.Sleep(time.Second)
					_, _ = io.WriteString(w, "\n")
					<-r.Context().Done()
				}))))
				got := r.later("/")
				r.drain()
				report := r.ended(3 * time.Second)
				a := <-got
				assert.NoError(t, a.err)
				assert.Regexp(t, `^(data: a\n\n)+retry: \d+\nevent: shutdown\n`, a.body)
				assert.EqualValues(t, 1, report.Told)
			})
		})
	}
}

// atOnce sends each Write at once, where net/http would hold it back.
type atOnce struct{ http.ResponseWriter }

func (w atOnce) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w atOnce) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	if err == nil {
		err = http.NewResponseController(w.ResponseWriter).Flush()
	}
	return n, err
}

// What somebody around us sends at once has left when it is written, however
// little it is: a stream is seen as one then, and its bytes have moved.
func TestStreamThatSomebodyElseSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for range 3 {
				time.Sleep(time.Second)
				_, _ = io.WriteString(w, "data: a\n\n")
				assert.Zero(t, stream.From(r.Context()).Idle())
			}
			<-r.Context().Done()
		}))
		r := serveAll(t, d, typedAround(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(atOnce{w}, r)
		})))
		got := r.later("/")
		time.Sleep(4 * time.Second)
		r.drain()
		report := r.ended(3 * time.Second)
		a := <-got
		assert.NoError(t, a.err)
		assert.Regexp(t, `^(data: a\n\n){3}retry: \d+\nevent: shutdown\n`, a.body)
		assert.EqualValues(t, 1, report.Told)
	})
}

// What a handler puts into the header once it has begun the body doesn't go out,
// and says nothing of the body.
func TestHeaderThatComesTooLate(t *testing.T) {
	for name, value := range map[string]string{"Content-Type": "text/event-stream", "Content-Length": "5"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := serve(t, &middleware.Drainer{Policy: policy.Rule{Grace: 2 * time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.WriteString(w, ": half of it\n\n")
					w.Header().Set(name, value)
					w.(http.Flusher).Flush()
					<-r.Context().Done()
				}))
				got := r.later("/")
				r.drain()
				report := r.ended(2 * time.Second)
				a := <-got
				assert.NotEqual(t, value, a.Header.Get(name))
				assert.ErrorIs(t, a.err, io.ErrUnexpectedEOF, "it is not whole")
				assert.Equal(t, ": half of it\n\n", a.body)
				assert.EqualValues(t, 1, report.Cut)
			})
		})
	}
}

// A short body is whole by the length that somebody around us has said, though
// its header has not left when the drain cancels it.
func TestLengthThatSomebodyElseSaid(t *testing.T) {
	for length, outcome := range map[string]func(middleware.Report) uint64{"3": cancelled, "4": wasCut} {
		t.Run(length, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Grace: 2 * time.Second}}
				h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.WriteString(w, "all")
					<-r.Context().Done()
				}))
				r := serveAll(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Length", length)
					h.ServeHTTP(w, r)
				}))
				got := r.later("/")
				r.drain()
				report := r.ended(2 * time.Second)
				a := <-got
				assert.Equal(t, length != "3", a.err != nil, "%v", a.err)
				assert.EqualValues(t, 1, outcome(report), "%+v", report)
			})
		})
	}
}
