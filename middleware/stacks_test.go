package middleware_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// A drain that takes long says for whom it waits, and finite responses come first.
func TestWaitersAreNamedEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log syncBuffer
		d := &middleware.Drainer{Logger: slog.New(slog.NewTextHandler(&log, nil))}
		mux := http.NewServeMux()
		mux.Handle("/slow/{n}", middleware.Graceful(d)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			<-d.Draining()
			time.Sleep(7 * time.Second)
		})))
		mux.Handle("/stream", middleware.Graceful(d, policy.Rule{Grace: 7 * time.Second, Timeout: policy.AtOnce})(ticks(nil)))
		r := serveWrapped(t, d, mux)
		for i := range 2 {
			r.getAsync("/stream")
			time.Sleep(time.Second)
			r.getAsync(fmt.Sprintf("/slow/%d", i))
			time.Sleep(time.Second)
			r.getAsync("/stream")
		}
		time.Sleep(500 * time.Millisecond)
		r.drain()
		time.Sleep(4900 * time.Millisecond)
		assert.NotContains(t, log.String(), "waiting")
		r.endsAfter(7 * time.Second)
		assert.GreaterOrEqual(t, strings.Count(log.String(), "waiting="), 2, "with each line from then on")
		assert.Contains(t, log.String(), `msg=draining finite=2 sse=4 websocket=0 other=0 left=20s waiting="`+
			`GET /slow/0 (pattern /slow/{n}) (finite http, 8.5s old, idle for 8.5s), `+
			`GET /slow/1 (pattern /slow/{n}) (finite http, 6.5s old, idle for 6.5s), `+
			`GET /stream (infinite sse, 9.5s old, idle for 500ms), and 3 more"`)
	})
}

// A handler that goes on though it was canceled is named with the line where it waits, while there
// is time left to look at it, and again when the drain gives up.
func TestLateHandlersLine(t *testing.T) {
	release := make(chan struct{})
	waits := func(http.ResponseWriter, *http.Request) { hang(release) }
	for name, h := range map[string]http.Handler{
		"in a function of the program": http.HandlerFunc(waits),
		"behind a router":              http.NewServeMux(),
	} {
		if mux, ok := h.(*http.ServeMux); ok {
			mux.HandleFunc("GET /", waits)
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log syncBuffer
				d := &middleware.Drainer{
					Logger: slog.New(slog.NewTextHandler(&log, nil)),
					Policy: policy.Rule{Grace: time.Second, Mercy: 5 * time.Second},
				}
				release = make(chan struct{})
				r := serve(t, d, h)
				deaf := r.getAsync("/deaf")
				r.getAsync("/a")
				r.getAsync("/b")
				r.drain()
				time.Sleep(1900 * time.Millisecond)
				assert.NotContains(t, log.String(), "has not returned")
				_, err := r.end()
				assert.ErrorContains(t, err, "3 still running")
				at := `state="chan receive \(durable\)" at="middleware_test\.hang \(stacks_test\.go:\d+\) < middleware_test\.TestLateHandlersLine\.func\d+ \(stacks_test\.go:\d+\)`
				assert.Regexp(t, `00:00:02\.000Z level=WARN msg="a handler has not returned since its context was canceled" route="?GET /deaf.* age=2s `+at, log.String())
				assert.Regexp(t, `msg="still running; given up" route="?GET /deaf.* `+at, log.String())
				assert.Len(t, regexp.MustCompile(`has not returned`).FindAllString(log.String(), -1), 3, "once each")
				close(release)
				<-deaf
				synctest.Wait()
			})
		})
	}
}

func hang(release chan struct{}) { <-release }

// Each late handler is told from those beside it, of which some wait elsewhere, and where none of
// its lines is the program's, that of the standard library is given.
func TestLateHandlersAreToldApart(t *testing.T) {
	var log syncBuffer
	d := &middleware.Drainer{
		Logger: slog.New(slog.NewTextHandler(&log, nil)), Budget: policy.Budget{Total: time.Second, Reserve: 400 * time.Millisecond},
		Policy: policy.Rule{Grace: policy.AtOnce, Mercy: 100 * time.Millisecond},
	}
	release := make(chan struct{})
	gate, unblock := io.Pipe()
	mux := http.NewServeMux()
	mux.HandleFunc("/one", func(http.ResponseWriter, *http.Request) { hang(release) })
	mux.HandleFunc("/two", func(http.ResponseWriter, *http.Request) {
		var wg sync.WaitGroup
		wg.Go(func() { <-release })
		wg.Wait()
	})
	mux.HandleFunc("/three", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, gate) })
	var begun, handlers sync.WaitGroup
	begun.Add(3)
	h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun.Done()
		mux.ServeHTTP(w, r)
	}))
	for _, path := range []string{"/one", "/two", "/three"} {
		handlers.Go(func() {
			defer func() { _ = recover() }()
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
		})
	}
	begun.Wait()
	err := d.Shutdown(context.Background())
	assert.ErrorContains(t, err, "3 still running")
	close(release)
	_ = unblock.Close()
	handlers.Wait()
	for route, line := range map[string]string{
		"one":   `middleware_test\.hang \(stacks_test`,
		"two":   `middleware_test\.TestLateHandlersAreToldApart\.func2 \(stacks_test`,
		"three": `middleware_test\.TestLateHandlersAreToldApart\.func3 \(stacks_test`,
	} {
		assert.Regexp(t, `given up" route="GET /`+route+`" .*at="`+line, log.String())
	}
}

// A syncBuffer is a buffer for several goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
