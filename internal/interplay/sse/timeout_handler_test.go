package sse

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// TestTimeoutHandler compares what http.TimeoutHandler answers for an event stream, which it lets
// nothing of through, with a Graceful inside of it and around it, and without one.
func TestTimeoutHandler(t *testing.T) {
	timeout := func(h http.Handler) http.Handler { return http.TimeoutHandler(h, 100*time.Millisecond, "too late") }
	for _, l := range libraries {
		if l.name == "by hand" { // it writes something else each time
			continue
		}
		for _, p := range protocols {
			t.Run(fmt.Sprintf("%s/%s", l.name, p.name), func(t *testing.T) {
				t.Parallel()
				d := new(middleware.Drainer)
				graceful := middleware.Graceful(d)
				src := l.start(t)
				ask := func(h http.Handler) string {
					s := serve(t, p, h)
					defer s.close()
					res, err := s.get()
					if err != nil { // a handler that panics, as one does without a Flusher
						return "no answer"
					}
					defer res.Body.Close()
					body, err := io.ReadAll(res.Body)
					return fmt.Sprint(res.StatusCode, res.Header["Content-Type"], string(body), err)
				}
				bare := ask(timeout(src))
				assert.Equal(t, bare, ask(timeout(graceful(src))), "inside of TimeoutHandler")
				assert.Equal(t, bare, ask(graceful(timeout(src))), "around TimeoutHandler")
				assert.EqualValues(t, 2, d.Report().Before.All())
				src.close()
			})
		}
	}
}

// TestTimeoutHandlerCanceled drains a handler that waits in http.TimeoutHandler, which answers by
// itself when its context is canceled.
func TestTimeoutHandlerCanceled(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			d := &middleware.Drainer{Policy: policy.Rule{Grace: time.Millisecond, Mercy: mercy}}
			asked := make(chan struct{})
			waits := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				close(asked)
				<-r.Context().Done()
			})
			s := serve(t, p, middleware.Graceful(d)(http.TimeoutHandler(waits, time.Hour, "too late")))
			status := make(chan int, 1)
			go func() {
				res, err := s.get()
				if !assert.NoError(t, err) {
					status <- 0
					return
				}
				_, err = io.Copy(io.Discard, res.Body)
				assert.NoError(t, err)
				res.Body.Close()
				status <- res.StatusCode
			}()
			<-asked
			report := harness.Shutdown(t, d)
			assert.Equal(t, http.StatusServiceUnavailable, <-status)
			assert.EqualValues(t, 1, report.Canceled)
			s.close()
		})
	}
}
