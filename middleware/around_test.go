package middleware_test

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// A failing handler hands its error to whoever called it, as echo's do.
type failing func(http.ResponseWriter, *http.Request) error

// around is a router that keeps the writer its handlers got, and answers through
// it for the errors that come back to it, as echo does: by then the Graceful
// between the two has returned. It notes what its last flush gave.
func around(d *middleware.Drainer, h failing, flushed *error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var err error
		middleware.Graceful(d)(http.HandlerFunc(func(inner http.ResponseWriter, r *http.Request) {
			w, err = inner, h(inner, r)
		})).ServeHTTP(w, r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
			*flushed = http.NewResponseController(w).Flush()
		}
	})
}

// A handler that returned without a word may be answered for by somebody around
// us, and by nobody once it has said something.
func TestAnswersFromAround(t *testing.T) {
	for _, c := range []struct {
		name string
		h    failing
		code int
		body string
	}{
		{"in place of nothing", func(http.ResponseWriter, *http.Request) error { return errors.New("tea") }, http.StatusTeapot, "tea\n"},
		{"after a word", func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = io.WriteString(w, "coffee")
			return errors.New("tea")
		}, http.StatusOK, "coffee"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{}
				var flushed error
				r := serveAll(t, d, around(d, c.h, &flushed))
				a := <-r.later("/")
				assert.NoError(t, a.err)
				assert.Equal(t, c.code, a.StatusCode)
				assert.Equal(t, c.body, a.body)
				assert.EqualValues(t, 1, r.ended(0).Before.Completed)
				assert.Equal(t, c.code == http.StatusOK, flushed != nil, "%v", flushed)
			})
		})
	}
}

// What the drain has answered itself, nobody adds to; and what began before the
// drain may be answered in the midst of it.
func TestAnswersFromAroundInADrain(t *testing.T) {
	for _, c := range []struct {
		name    string
		waiting time.Duration
		code    int
		body    string
		outcome func(middleware.Report) uint64
	}{
		{"in time", time.Second, http.StatusTeapot, "tea\n", func(r middleware.Report) uint64 { return r.Completed }},
		{"too late", time.Hour, http.StatusServiceUnavailable, "the server is shutting down; please retry\n", func(r middleware.Report) uint64 { return r.Cancelled }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Grace: 2 * time.Second}}
				var flushed error
				r := serveAll(t, d, around(d, func(_ http.ResponseWriter, r *http.Request) error {
					over := time.NewTimer(c.waiting)
					defer over.Stop()
					select {
					case <-over.C:
					case <-r.Context().Done():
					}
					return errors.New("tea")
				}, &flushed))
				got := r.later("/")
				r.drain()
				a := <-got
				assert.NoError(t, a.err)
				assert.Equal(t, c.code, a.StatusCode)
				assert.Equal(t, c.body, a.body)
				assert.True(t, a.Close, "Connection: close")
				report := r.ended(min(c.waiting, 2*time.Second))
				assert.EqualValues(t, 1, c.outcome(report), "%+v", report)
				assert.NoError(t, flushed, "not even an error to log")
			})
		})
	}
}

// A goroutine that a silent handler leaves behind has nobody around it once the
// request is over: the writer is inside another request's by then.
func TestSilentHandlerLeavesTheWriterBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept http.ResponseWriter
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { kept = w }))
		assert.Empty(t, (<-r.later("/")).body)
		synctest.Wait()
		_, err := kept.Write([]byte("late"))
		assert.ErrorContains(t, err, "after the handler returned")
		kept.WriteHeader(http.StatusTeapot)
		assert.Error(t, http.NewResponseController(kept).Flush())
		assert.Equal(t, http.StatusOK, (<-r.later("/")).StatusCode)
		r.ended(0)
	})
}
