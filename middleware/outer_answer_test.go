package middleware_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// An errorHandler returns its error to whoever called it, as echo's do.
type errorHandler func(http.ResponseWriter, *http.Request) error

// answerErrors is a router that keeps the writer that its handlers got, and answers through it for
// the errors that they return, as echo does: by then the Graceful between the two has returned. It
// stores what its last flush returned.
func answerErrors(d *middleware.Drainer, h errorHandler, flushed *error) http.Handler {
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

// Middleware around Graceful may answer for a handler that returned without a byte, and not once
// that has written something.
func TestOuterMiddlewareAnswersForASilentHandler(t *testing.T) {
	for _, c := range []struct {
		name string
		h    errorHandler
		code int
		body string
	}{
		{"behind one that wrote nothing", func(http.ResponseWriter, *http.Request) error { return errors.New("tea") }, http.StatusTeapot, "tea\n"},
		{"behind one that wrote something", func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = io.WriteString(w, "coffee")
			return errors.New("tea")
		}, http.StatusOK, "coffee"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{}
				var flushed error
				r := serveWrapped(t, d, answerErrors(d, c.h, &flushed))
				a := <-r.getAsync("/")
				assert.NoError(t, a.err)
				assert.Equal(t, c.code, a.StatusCode)
				assert.Equal(t, c.body, a.body)
				assert.EqualValues(t, 1, r.endsAfter(0).Before.Completed)
				assert.Equal(t, c.code == http.StatusOK, flushed != nil, "%v", flushed)
			})
		})
	}
}

// Middleware around Graceful adds nothing to what the drain has answered itself. A response that
// began before the drain it may answer in the midst of it.
func TestOuterMiddlewareAnswersInADrain(t *testing.T) {
	for _, c := range []struct {
		name    string
		waiting time.Duration
		code    int
		body    string
		outcome func(middleware.Report) uint64
	}{
		{"in time", time.Second, http.StatusTeapot, "tea\n", func(r middleware.Report) uint64 { return r.Completed }},
		{"too late", time.Hour, http.StatusServiceUnavailable, "the server is shutting down; please retry\n", func(r middleware.Report) uint64 { return r.Canceled }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Grace: 2 * time.Second}}
				var flushed error
				r := serveWrapped(t, d, answerErrors(d, func(_ http.ResponseWriter, r *http.Request) error {
					over := time.NewTimer(c.waiting)
					defer over.Stop()
					select {
					case <-over.C:
					case <-r.Context().Done():
					}
					return errors.New("tea")
				}, &flushed))
				got := r.getAsyncWith("/")
				r.drain()
				a := <-got
				assert.NoError(t, a.err)
				assert.Equal(t, c.code, a.StatusCode)
				assert.Equal(t, c.body, a.body)
				assert.True(t, a.Close, "Connection: close")
				report := r.endsAfter(min(c.waiting, 2*time.Second))
				assert.EqualValues(t, 1, c.outcome(report), "%+v", report)
				assert.NoError(t, flushed, "not even an error to log")
			})
		})
	}
}

// A goroutine that a silent handler leaves behind can't write once the request is over: the writer
// belongs to another request by then.
func TestWriterOfASilentHandlerIsHarmlessAfterItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept http.ResponseWriter
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { kept = w }))
		assert.Empty(t, (<-r.getAsync("/")).body)
		synctest.Wait()
		_, err := kept.Write([]byte("late"))
		assert.ErrorContains(t, err, "after the handler returned")
		kept.WriteHeader(http.StatusTeapot)
		assert.Error(t, http.NewResponseController(kept).Flush())
		assert.Equal(t, http.StatusOK, (<-r.getAsync("/")).StatusCode)
		r.endsAfter(0)
	})
}

// An http.TimeoutHandler has answered for a handler that still runs. When that one is cut, the
// connection is at its next request, which has nothing to do with it.
func TestCutBehindATimeoutHandlerLeavesTheNextRequestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		stay := make(chan struct{})
		deaf := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stay })
		mux := http.NewServeMux()
		mux.Handle("/left", http.TimeoutHandler(middleware.Graceful(d, policy.Rule{Grace: time.Second, Mercy: time.Second})(deaf), time.Second, "late"))
		mux.Handle("/next", middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "first half, ")
			w.(http.Flusher).Flush()
			time.Sleep(2500 * time.Millisecond) // past the cut, at 2 s
			_, _ = io.WriteString(w, "second half")
		})))
		r := serveWrapped(t, d, mux)
		c, err := r.net.Dial(context.Background(), "", "")
		require.NoError(t, err)
		defer c.Close()
		br := bufio.NewReader(c)
		res := sendRequest(t, c, br, "/left", "HTTP/1.1")
		assert.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		res = sendRequest(t, c, br, "/next", "HTTP/1.1")
		r.drain()
		body, err := io.ReadAll(res.Body)
		assert.NoError(t, err)
		assert.Equal(t, "first half, second half", string(body))
		close(stay)
		r.endsAfter(2500 * time.Millisecond)
	})
}
