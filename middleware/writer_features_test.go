package middleware_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// writers returns a writer for each combination of the optional interfaces.
func writers(b bare) map[string]http.ResponseWriter {
	return map[string]http.ResponseWriter{
		"none": b,
		"flusher": struct {
			bare
			flusher
		}{b, flusher{errFlush}},
		"hijacker": struct {
			bare
			hijacker
		}{b, hijacker{}},
		"closeNotifier": struct {
			bare
			closeNotifier
		}{b, closeNotifier{}},
		"readerFrom": struct {
			bare
			readerFrom
		}{b, readerFrom{}},
		"pusher": struct {
			bare
			pusher
		}{b, pusher{}},
		"flusher hijacker": struct {
			bare
			flusher
			hijacker
		}{b, flusher{errFlush}, hijacker{}},
		"flusher closeNotifier": struct {
			bare
			flusher
			closeNotifier
		}{b, flusher{errFlush}, closeNotifier{}},
		"flusher readerFrom": struct {
			bare
			flusher
			readerFrom
		}{b, flusher{errFlush}, readerFrom{}},
		"flusher pusher": struct {
			bare
			flusher
			pusher
		}{b, flusher{errFlush}, pusher{}},
		"hijacker closeNotifier": struct {
			bare
			hijacker
			closeNotifier
		}{b, hijacker{}, closeNotifier{}},
		"hijacker readerFrom": struct {
			bare
			hijacker
			readerFrom
		}{b, hijacker{}, readerFrom{}},
		"hijacker pusher": struct {
			bare
			hijacker
			pusher
		}{b, hijacker{}, pusher{}},
		"closeNotifier readerFrom": struct {
			bare
			closeNotifier
			readerFrom
		}{b, closeNotifier{}, readerFrom{}},
		"closeNotifier pusher": struct {
			bare
			closeNotifier
			pusher
		}{b, closeNotifier{}, pusher{}},
		"readerFrom pusher": struct {
			bare
			readerFrom
			pusher
		}{b, readerFrom{}, pusher{}},
		"flusher hijacker closeNotifier": struct {
			bare
			flusher
			hijacker
			closeNotifier
		}{b, flusher{errFlush}, hijacker{}, closeNotifier{}},
		"flusher hijacker readerFrom": struct {
			bare
			flusher
			hijacker
			readerFrom
		}{b, flusher{errFlush}, hijacker{}, readerFrom{}},
		"flusher hijacker pusher": struct {
			bare
			flusher
			hijacker
			pusher
		}{b, flusher{errFlush}, hijacker{}, pusher{}},
		"flusher closeNotifier readerFrom": struct {
			bare
			flusher
			closeNotifier
			readerFrom
		}{b, flusher{errFlush}, closeNotifier{}, readerFrom{}},
		"flusher closeNotifier pusher": struct {
			bare
			flusher
			closeNotifier
			pusher
		}{b, flusher{errFlush}, closeNotifier{}, pusher{}},
		"flusher readerFrom pusher": struct {
			bare
			flusher
			readerFrom
			pusher
		}{b, flusher{errFlush}, readerFrom{}, pusher{}},
		"hijacker closeNotifier readerFrom": struct {
			bare
			hijacker
			closeNotifier
			readerFrom
		}{b, hijacker{}, closeNotifier{}, readerFrom{}},
		"hijacker closeNotifier pusher": struct {
			bare
			hijacker
			closeNotifier
			pusher
		}{b, hijacker{}, closeNotifier{}, pusher{}},
		"hijacker readerFrom pusher": struct {
			bare
			hijacker
			readerFrom
			pusher
		}{b, hijacker{}, readerFrom{}, pusher{}},
		"closeNotifier readerFrom pusher": struct {
			bare
			closeNotifier
			readerFrom
			pusher
		}{b, closeNotifier{}, readerFrom{}, pusher{}},
		"flusher hijacker closeNotifier readerFrom": struct {
			bare
			flusher
			hijacker
			closeNotifier
			readerFrom
		}{b, flusher{errFlush}, hijacker{}, closeNotifier{}, readerFrom{}},
		"flusher hijacker closeNotifier pusher": struct {
			bare
			flusher
			hijacker
			closeNotifier
			pusher
		}{b, flusher{errFlush}, hijacker{}, closeNotifier{}, pusher{}},
		"flusher hijacker readerFrom pusher": struct {
			bare
			flusher
			hijacker
			readerFrom
			pusher
		}{b, flusher{errFlush}, hijacker{}, readerFrom{}, pusher{}},
		"flusher closeNotifier readerFrom pusher": struct {
			bare
			flusher
			closeNotifier
			readerFrom
			pusher
		}{b, flusher{errFlush}, closeNotifier{}, readerFrom{}, pusher{}},
		"hijacker closeNotifier readerFrom pusher": struct {
			bare
			hijacker
			closeNotifier
			readerFrom
			pusher
		}{b, hijacker{}, closeNotifier{}, readerFrom{}, pusher{}},
		"flusher hijacker closeNotifier readerFrom pusher": struct {
			bare
			flusher
			hijacker
			closeNotifier
			readerFrom
			pusher
		}{b, flusher{errFlush}, hijacker{}, closeNotifier{}, readerFrom{}, pusher{}},
	}
}

// Parts of writers that have some of the optional interfaces.
type (
	bare          struct{ http.ResponseWriter }
	flusher       struct{ flushed error }
	hijacker      struct{}
	closeNotifier struct{}
	readerFrom    struct{}
	pusher        struct{}
)

func (f flusher) Flush()                                        {}
func (f flusher) FlushError() error                             { return f.flushed }
func (hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error)   { return nil, nil, errHijack }
func (closeNotifier) CloseNotify() <-chan bool                  { return nil }
func (readerFrom) ReadFrom(r io.Reader) (int64, error)          { return io.Copy(io.Discard, r) }
func (pusher) Push(target string, opts *http.PushOptions) error { return errPush }

var (
	errFlush  = errors.New("the peer is gone")
	errHijack = errors.New("hijacked by somebody else")
	errPush   = errors.New("no push today")
)

// The writer that a handler gets has exactly the optional interfaces of the one that Graceful was
// given, in all 32 combinations through one handler, and passes their errors on.
func TestWriterHasTheInterfacesOfTheOneInside(t *testing.T) {
	rw := httptest.NewRecorder()
	var check http.HandlerFunc
	h := middleware.Graceful(&middleware.Drainer{})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { check(w, r) }))
	for name, w := range writers(bare{rw}) {
		t.Run(name, func(t *testing.T) {
			check = func(got http.ResponseWriter, r *http.Request) {
				assert.Equal(t, interfaces(w), interfaces(got))
				assert.Implements(t, (*io.StringWriter)(nil), got)
				assert.Equal(t, w, unwrap(unwrap(got)), "behind what keeps track")
				if f, ok := got.(interface{ FlushError() error }); ok {
					assert.ErrorIs(t, f.FlushError(), errFlush)
				}
				if p, ok := got.(http.Pusher); ok {
					assert.ErrorIs(t, p.Push("/", nil), errPush)
				}
				if hj, ok := got.(http.Hijacker); ok {
					_, _, err := hj.Hijack()
					assert.ErrorIs(t, err, errHijack)
				}
			}
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		})
	}
}

func unwrap(w http.ResponseWriter) http.ResponseWriter {
	return w.(interface{ Unwrap() http.ResponseWriter }).Unwrap()
}

func interfaces(w http.ResponseWriter) (has [6]bool) {
	_, has[0] = w.(http.Flusher)
	_, has[1] = w.(interface{ FlushError() error })
	_, has[2] = w.(http.Hijacker)
	//lint:ignore SA1019 handlers still ask for it
	_, has[3] = w.(http.CloseNotifier)
	_, has[4] = w.(io.ReaderFrom)
	_, has[5] = w.(http.Pusher)
	return has
}

// A handler that keeps its writer after it has returned disturbs no later response.
func TestWriterIsHarmlessAfterTheHandlerReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept http.ResponseWriter
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			kept = w
			_, _ = io.WriteString(w, "done")
		}))
		assert.Equal(t, "done", (<-r.getAsync("/")).body)
		_, err := kept.Write([]byte("late"))
		assert.ErrorContains(t, err, "after the handler returned")
		_, err = io.WriteString(kept, "late")
		assert.Error(t, err)
		kept.(http.Flusher).Flush()
		kept.WriteHeader(http.StatusTeapot)
		assert.Equal(t, "done", (<-r.getAsync("/")).body)
		r.endsAfter(0)
	})
}

// Middleware may hide Flush and leave it to be found by Unwrap. A flush that comes that way doesn't
// bypass Graceful, and the farewell is flushed that way too.
func TestFlushFoundByUnwrappingIsTracked(t *testing.T) {
	flushes := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		assert.NoError(t, http.NewResponseController(w).Flush())
		<-r.Context().Done()
	})
	for name, wrap := range map[string]func(*middleware.Drainer) http.Handler{
		"outside of Graceful": func(d *middleware.Drainer) http.Handler { return wrapUnwrapOnly(middleware.Graceful(d)(flushes)) },
		"inside of Graceful":  func(d *middleware.Drainer) http.Handler { return middleware.Graceful(d)(wrapUnwrapOnly(flushes)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Timeout: 3 * time.Second}} // it makes its channels in this bubble
				r := serveWrapped(t, d, wrap(d))
				var ended error
				got := lines(r.open("/").Body, &ended)
				r.drain()
				assert.Regexp(t, `^retry: \d+$`, <-got)
				assert.Zero(t, r.since(), "at once, and not when the handler returns")
				for range got {
				}
				assert.NoError(t, ended)
				report := r.endsAfter(3 * time.Second)
				assert.Equal(t, middleware.Tally{SSE: 1}, report.Found)
				assert.EqualValues(t, 1, report.Told)
			})
		})
	}
}
