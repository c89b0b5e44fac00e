package middleware_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A frameStream is one stream of HTTP/2, as net/http shows it to a handler: what is written into
// the response its peer reads, and the other way round.
type frameStream struct {
	net.Conn
	t      *testing.T
	header http.Header
	status int
	over   atomic.Bool // its handler has returned: whoever is in a method now would panic in net/http's
	mu     sync.Mutex  // guards following
	reset  *time.Timer
}

func (w *frameStream) Header() http.Header  { return w.header }
func (w *frameStream) WriteHeader(code int) { w.status = code }
func (w *frameStream) FlushError() error    { w.inHandler("Flush"); return nil }
func (w *frameStream) Flush()               { w.inHandler("Flush") }

func (w *frameStream) Write(p []byte) (int, error) {
	defer w.inHandler("Write")
	return w.Conn.Write(p)
}

func (w *frameStream) inHandler(method string) {
	assert.False(w.t, w.over.Load(), "%s after the handler's return", method)
}

// SetWriteDeadline has the stream reset at that time, whether something is written then or not, and
// at once if that is past, as in net/http: no later deadline takes that back.
func (w *frameStream) SetWriteDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reset != nil {
		w.reset.Stop()
	}
	switch w.reset = nil; {
	case t.IsZero(): // which is none
	case !t.After(time.Now()):
		return w.Conn.Close()
	default:
		w.reset = time.AfterFunc(time.Until(t), func() { w.Conn.Close() })
	}
	return nil
}

// A frameSource is the body of a frameStream's request.
type frameSource struct {
	io.Reader
	closed atomic.Bool
}

func (b *frameSource) Close() error { b.closed.Store(true); return nil }

func (b *frameSource) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.Reader.Read(p)
}

// extendedConnect requests a WebSocket over HTTP/2, has h serve it, and returns the peer's end of
// the stream, which ends with its handler.
func extendedConnect(t *testing.T, h http.Handler) net.Conn {
	here, there := net.Pipe()
	ctx, end := context.WithCancel(context.Background()) // which net/http ends with the handler
	r := httptest.NewRequestWithContext(ctx, http.MethodConnect, "https://memory/", nil)
	r.Body, r.Header[":protocol"] = &frameSource{Reader: here}, []string{"websocket"}
	w := &frameStream{Conn: here, t: t, header: http.Header{}}
	go func() {
		defer here.Close()
		defer w.over.Store(true)
		defer end()
		defer func() {
			if v := recover(); v != nil && v != http.ErrAbortHandler {
				t.Error(v)
			}
		}()
		h.ServeHTTP(w, r)
	}()
	t.Cleanup(func() { there.Close() })
	return there
}

const (
	closed     = "\x88\x05\x0f\xa1bye"                                // a server's Close, 4001
	answer4001 = "\x88\x85\x00\x00\x00\x00\x0f\xa1bye"                // its peer's
	hi, last   = "\x81\x02hi", "\x81\x04last"                         // two text messages
	greeting   = "\x81\x82\x00\x00\x00\x00hi\x8a\x80\x00\x00\x00\x00" // a peer's text message and a pong
)

// drainOne drains a WebSocket. It returns what its peer reads until the end of the stream, and how
// long that and the drain took. The peer answers with its Close after a time; zero: never.
func drainOne(t *testing.T, d *middleware.Drainer, peer net.Conn, answer time.Duration) (said string, took time.Duration) {
	synctest.Wait()
	began := time.Now()
	read := make(chan string)
	go func() {
		b, err := io.ReadAll(peer)
		assert.NoError(t, err)
		read <- string(b)
	}()
	synctest.Wait()
	if answer > 0 {
		timer := time.AfterFunc(answer, func() { _, _ = io.WriteString(peer, answer4001) })
		defer timer.Stop()
	}
	require.NoError(t, d.Shutdown(context.Background()))
	return <-read, time.Since(began)
}

// readAll reads as a handler that ends when its reading does.
func readAll(r *http.Request) (string, error) {
	b, err := io.ReadAll(r.Body)
	return string(b), err
}

func TestWebSocketOverHTTP2(t *testing.T) {
	respond := func(w http.ResponseWriter, frames string) {
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, frames)
	}
	reads := func(w http.ResponseWriter, r *http.Request) {
		respond(w, hi)
		_, _ = readAll(r)
		_, _ = io.WriteString(w, hi) // swallowed
	}
	unanswered := func(r middleware.Report) uint64 { return r.Unanswered }
	completed := func(r middleware.Report) uint64 { return r.Completed }
	for name, c := range map[string]struct {
		handler func(http.ResponseWriter, *http.Request)
		answer  time.Duration
		said    string
		took    time.Duration
		outcome func(middleware.Report) uint64
	}{
		"answers": {func(w http.ResponseWriter, r *http.Request) {
			respond(w, hi)
			got, err := readAll(r)
			assert.NoError(t, err, "the end of the stream, after the peer's Close")
			assert.Equal(t, answer4001, got)
		}, 500 * time.Millisecond, hi + last + closed, 500 * time.Millisecond, told},
		"answers after the cancel": {reads, 2200 * time.Millisecond, hi + last + closed, 2200 * time.Millisecond, told},
		"never answers":            {reads, 0, hi + last + closed, 2500 * time.Millisecond, unanswered},
		"answers a handler that has left": {func(w http.ResponseWriter, r *http.Request) {
			respond(w, hi)
			<-stream.Draining(r.Context())
			control := http.NewResponseController(w)
			assert.NoError(t, control.SetReadDeadline(time.Now().Add(time.Millisecond)), "which ends with the handler")
			assert.NoError(t, control.SetWriteDeadline(time.Now().Add(time.Millisecond)))
			assert.NoError(t, r.Body.Close())
		}, 500 * time.Millisecond, hi + last + closed, 500 * time.Millisecond, told},
		"never answers a handler that has left": {func(w http.ResponseWriter, r *http.Request) {
			respond(w, hi)
			<-stream.Draining(r.Context())
		}, 0, hi + last + closed, 2500 * time.Millisecond, unanswered},
		"answers while a goroutine of a handler that has left reads": {func(w http.ResponseWriter, r *http.Request) {
			respond(w, hi)
			go func() { _, _ = readAll(r) }()
			<-stream.Draining(r.Context())
		}, 500 * time.Millisecond, hi + last + closed, 500 * time.Millisecond, told},
		"in the middle of a message": {func(w http.ResponseWriter, r *http.Request) {
			respond(w, "\x01\x02to")
			time.Sleep(500 * time.Millisecond)
			_, _ = io.WriteString(w, "\x80\x02rn"+hi)
			_, _ = readAll(r)
		}, 700 * time.Millisecond, "\x01\x02to\x80\x02rn" + last + closed, 700 * time.Millisecond, told},
		"in the middle of a message that goes on": {func(w http.ResponseWriter, r *http.Request) {
			respond(w, "\x01\x02to")
			_, _ = readAll(r)
		}, 1500 * time.Millisecond, "\x01\x02to" + closed, 1500 * time.Millisecond, told},
		"in the middle of a frame, until the cancel": {func(w http.ResponseWriter, r *http.Request) {
			respond(w, "\x81\x02h")
			<-r.Context().Done()
			_, _ = io.WriteString(w, "i"+hi)
			_, _ = readAll(r)
		}, 2300 * time.Millisecond, hi + closed, 2300 * time.Millisecond, told},
		"in the middle of a frame that never ends": {func(w http.ResponseWriter, r *http.Request) {
			respond(w, "\x81\x02h")
			<-r.Context().Done()
		}, 0, "\x81\x02h", 2 * time.Second, canceled},
		"its handler has said goodbye": {func(w http.ResponseWriter, r *http.Request) {
			respond(w, closed)
			_, _ = io.ReadFull(r.Body, make([]byte, len(answer4001)))
		}, time.Second, closed, time.Second, completed},
		"not begun when the drain comes": {func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			w.WriteHeader(http.StatusOK)
			time.Sleep(time.Millisecond) // for the drain to hear of it
			reads(w, r)
		}, 1500 * time.Millisecond, last + closed, 1500 * time.Millisecond, told},
		"tagged finite while its farewell waits": {func(w http.ResponseWriter, r *http.Request) {
			respond(w, "\x01\x02to")
			time.Sleep(500 * time.Millisecond)
			stream.Tag(r.Context(), policy.Finite)
			time.Sleep(5 * time.Second)
			_, _ = io.WriteString(w, "\x80\x02rn")
		}, 0, "\x01\x02to\x80\x02rn", 5500 * time.Millisecond, completed},
		"refused": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			assert.Equal(t, stream.HTTP, stream.From(r.Context()).Format())
			_, _ = io.WriteString(w, "no")
			time.Sleep(time.Second)
			_, _ = io.WriteString(w, "!")
		}, 0, "no!", time.Second, completed},
		"refused, and then accepted, which is too late": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			w.WriteHeader(http.StatusOK)
			assert.Equal(t, stream.HTTP, stream.From(r.Context()).Format())
			time.Sleep(time.Second)
			_, _ = io.WriteString(w, "no")
		}, 0, "no", time.Second, completed},
		"its frames are masked, and so not a server's": {func(w http.ResponseWriter, r *http.Request) {
			respond(w, greeting)
			_, _ = readAll(r)
		}, 0, greeting, 2500 * time.Millisecond, canceled},
		"its handler stays": {func(w http.ResponseWriter, r *http.Request) {
			respond(w, hi)
			time.Sleep(3010 * time.Millisecond)
		}, 0, hi + last + closed, 3010 * time.Millisecond, unanswered}, // as over HTTP/1
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{
					Timeout: 2 * time.Second, Mercy: time.Second,
					Farewell: policy.Farewell{Code: 4001, Reason: "bye", Message: "last"},
				}}
				peer := extendedConnect(t, middleware.Graceful(d)(http.HandlerFunc(c.handler)))
				said, took := drainOne(t, d, peer, c.answer)
				assert.Equal(t, c.said, said)
				assert.Equal(t, c.took, took)
				report := d.Report()
				assert.EqualValues(t, 1, c.outcome(report), "%+v", report)
			})
		})
	}
}

// A lateWriter is a frameStream whose Write returns a moment after the peer has read what it wrote,
// as where the machine is busy.
type lateWriter struct{ *frameStream }

func (w lateWriter) Write(p []byte) (int, error) {
	n, err := w.frameStream.Write(p)
	time.Sleep(10 * time.Millisecond)
	return n, err
}

// A peer may answer before the write of the farewell has returned. Its handler's reads end then
// too, and the drain doesn't wait for the cancel.
func TestWebSocketOverHTTP2AnsweredWhileTheFarewellIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Farewell: policy.Farewell{Code: 4001, Reason: "bye"}}}
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			got, err := readAll(r)
			assert.NoError(t, err)
			assert.Equal(t, answer4001, got)
		}))
		peer := extendedConnect(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(lateWriter{w.(*frameStream)}, r)
		}))
		go func() {
			_, _ = io.ReadFull(peer, make([]byte, len(closed)))
			_, _ = io.WriteString(peer, answer4001)
		}()
		synctest.Wait()
		began := time.Now()
		assert.NoError(t, d.Shutdown(context.Background()))
		assert.Equal(t, 10*time.Millisecond, time.Since(began))
		assert.EqualValues(t, 1, d.Report().Told)
	})
}

// A lateHeader is a frameStream whose WriteHeader takes a moment.
type lateHeader struct{ *frameStream }

func (w lateHeader) WriteHeader(status int) {
	time.Sleep(10 * time.Millisecond)
	w.frameStream.WriteHeader(status)
}

// A handler may return while a goroutine of its own accepts the WebSocket, which ends all the same.
func TestWebSocketOverHTTP2AcceptedAsItsHandlerReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			go func() { _, _ = io.WriteString(w, hi) }()
			time.Sleep(5 * time.Millisecond)
		}))
		peer := extendedConnect(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(lateHeader{w.(*frameStream)}, r)
		}))
		_, _ = io.Copy(io.Discard, peer)
		assert.Zero(t, d.Report().Open.WebSocket)
		assert.NoError(t, d.Shutdown(context.Background()))
		assert.EqualValues(t, 1, d.Report().Before.Completed)
	})
}

// A peer that has stopped reading is cut at its own deadline.
func TestWebSocketOverHTTP2WhosePeerDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 2 * time.Second, Mercy: time.Second}}
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			for err := error(nil); err == nil; {
				_, err = io.WriteString(w, hi)
			}
		}))
		extendedConnect(t, h)
		synctest.Wait()
		began := time.Now()
		require.NoError(t, d.Shutdown(context.Background()))
		assert.Equal(t, 3*time.Second, time.Since(began))
		report := d.Report()
		assert.EqualValues(t, 1, report.Cut)
		require.Len(t, report.Aborted, 1)
		assert.Equal(t, stream.WebSocket, report.Aborted[0].Format)
	})
}

// A handler that returns while a goroutine of its own writes: net/http's writer must not be used
// any more.
func TestWebSocketOverHTTP2WhoseHandlerReturnsWithinAWrite(t *testing.T) {
	for _, cutFirst := range []bool{false, true} {
		t.Run(map[bool]string{false: "that goes on", true: "that the drain cuts"}[cutFirst], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Timeout: 2 * time.Second, Mercy: time.Second}}
				peer := extendedConnect(t, middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.WriteHeader(http.StatusOK)
					go func() { _, _ = io.WriteString(w, hi) }()
					time.Sleep(time.Second)
				})))
				time.Sleep(500 * time.Millisecond)
				if cutFirst {
					began := time.Now()
					require.NoError(t, d.Shutdown(context.Background()))
					assert.Equal(t, 3*time.Second, time.Since(began))
					synctest.Wait()
					assert.EqualValues(t, 1, d.Report().Cut)
					return
				}
				time.Sleep(time.Second)
				assert.Equal(t, 1, d.Report().Open.All(), "something is on its way still")
				said, err := io.ReadAll(peer)
				assert.NoError(t, err)
				assert.Equal(t, hi, string(said))
				require.NoError(t, d.Shutdown(context.Background()))
				assert.EqualValues(t, 1, d.Report().Before.Completed)
			})
		})
	}
}

// A handler may return while its farewell is still on its way to a slow peer. Its read deadline
// ends with it.
func TestWebSocketOverHTTP2WhoseHandlerReturnsWithinTheFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 5 * time.Second}}
		peer := extendedConnect(t, middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			assert.NoError(t, http.NewResponseController(w).SetReadDeadline(time.Now().Add(2*time.Second)))
			<-d.Draining()
			time.Sleep(time.Millisecond)
		})))
		synctest.Wait()
		d.Start()
		time.Sleep(time.Second)
		_, _ = drainOne(t, d, peer, 2*time.Second)
		assert.EqualValues(t, 1, d.Report().Told)
	})
}

// A proxy panics so when its back end breaks off. Behind the farewell that is a clean end.
func TestWebSocketOverHTTP2WhoseHandlerAbortsAfterTheFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 5 * time.Second}}
		aborted := false
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			<-stream.Draining(r.Context())
			panic(http.ErrAbortHandler)
		}))
		peer := extendedConnect(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { aborted = recover() != nil }()
			h.ServeHTTP(w, r)
		}))
		said, _ := drainOne(t, d, peer, 100*time.Millisecond)
		assert.Contains(t, said, "service restart")
		assert.False(t, aborted, "net/http would reset the stream")
		assert.EqualValues(t, 1, d.Report().Unanswered)
	})
}

// What comes from the peer counts as activity, and the rule's kind has precedence over what the
// header shows.
func TestWebSocketOverHTTP2IsTracked(t *testing.T) {
	for _, kind := range []policy.Kind{policy.Auto, policy.Finite} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Kind: kind}}
				got := make(chan *stream.Response, 1)
				peer := extendedConnect(t, middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.WriteHeader(http.StatusOK)
					got <- stream.From(r.Context())
					b, err := io.ReadAll(io.LimitReader(r.Body, int64(len(greeting))))
					assert.NoError(t, err)
					assert.Equal(t, greeting, string(b))
					time.Sleep(time.Second)
				})))
				s := <-got
				time.Sleep(time.Minute)
				assert.Equal(t, time.Minute, s.Idle())
				_, err := io.WriteString(peer, greeting)
				require.NoError(t, err)
				synctest.Wait()
				assert.Zero(t, s.Idle())
				assert.Equal(t, stream.WebSocket, s.Format())
				if kind == policy.Finite {
					said, took := drainOne(t, d, peer, 0)
					assert.Empty(t, said)
					assert.Equal(t, time.Second, took)
				} else {
					said, _ := drainOne(t, d, peer, time.Millisecond)
					assert.Contains(t, said, "service restart; retry=")
				}
			})
		})
	}
}

// Before a drain the handler reads all that comes, as it comes.
func TestWebSocketOverHTTP2IsTransparent(t *testing.T) {
	got := make(chan string)
	peer := extendedConnect(t, middleware.Graceful(&middleware.Drainer{})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		b, err := readAll(r)
		assert.NoError(t, err)
		got <- b
		assert.NoError(t, r.Body.Close())
		_, err = r.Body.Read(make([]byte, 1))
		assert.ErrorIs(t, err, http.ErrBodyReadAfterClose)
		close(got)
	})))
	_, err := io.WriteString(peer, greeting+answer4001+greeting)
	require.NoError(t, err)
	require.NoError(t, peer.Close())
	assert.Equal(t, greeting+answer4001+greeting, <-got)
	<-got
}
