package middleware_test

import (
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
	"github.com/lastcall-go/lastcall/stream"
)

func TestFiniteResponseCompletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r *rig
		r = serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			for range 8 {
				r.store.use()
				_, _ = io.WriteString(w, "part ")
				w.(http.Flusher).Flush()
				time.Sleep(time.Second)
			}
			assert.NoError(t, req.Context().Err(), "a finite response is left alone")
		}))
		got := r.later("/")
		time.Sleep(500 * time.Millisecond)
		r.drain()
		report := r.ended(7500 * time.Millisecond) // the instant that it is done, and not the budget's 25 s
		a := <-got
		require.NoError(t, a.err)
		assert.Equal(t, "part part part part part part part part ", a.body)
		assert.EqualValues(t, 1, report.Completed)
		assert.Equal(t, 1, report.Found.Finite)
	})
}

// A finite response whose time is up must never look complete.
func TestFiniteResponseCutShort(t *testing.T) {
	rule := policy.Rule{Grace: 2 * time.Second, Mercy: time.Second}
	waits := func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		see     func(*testing.T, answer)
		outcome func(middleware.Report) uint64
	}{
		"nothing written": {waits, func(t *testing.T, a answer) {
			require.NoError(t, a.err)
			assert.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
			assert.Regexp(t, `^[1-5]$`, a.Header.Get("Retry-After"))
			assert.True(t, a.Close, "Connection: close")
		}, cancelled},
		"header set, nothing written": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.Header().Set("Content-Encoding", "gzip")
			waits(w, r)
		}, func(t *testing.T, a answer) {
			require.NoError(t, a.err)
			assert.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
			assert.Empty(t, a.Header.Get("Content-Encoding"))
		}, cancelled},
		"part written, chunked": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "half of it")
			w.(http.Flusher).Flush()
			waits(w, r)
		}, func(t *testing.T, a answer) {
			assert.ErrorIs(t, a.err, io.ErrUnexpectedEOF)
			assert.Equal(t, "half of it", a.body)
		}, wasCut},
		"part written, of a known length": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half of it")
			w.(http.Flusher).Flush()
			waits(w, r)
		}, func(t *testing.T, a answer) {
			assert.ErrorIs(t, a.err, io.ErrUnexpectedEOF)
		}, wasCut},
		"an event stream tagged finite": {func(w http.ResponseWriter, r *http.Request) {
			stream.Tag(r.Context(), policy.Finite)
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: token\n\n")
			w.(http.Flusher).Flush()
			waits(w, r)
		}, func(t *testing.T, a answer) {
			assert.ErrorIs(t, a.err, io.ErrUnexpectedEOF)
			assert.Equal(t, "data: token\n\n", a.body, "no farewell: it isn't a stream that comes back")
		}, wasCut},
		"all written, of a known length": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "3")
			_, _ = io.WriteString(w, "all")
			w.(http.Flusher).Flush()
			waits(w, r)
		}, func(t *testing.T, a answer) {
			require.NoError(t, a.err)
			assert.Equal(t, "all", a.body)
		}, cancelled},
		"the handler's own answer": {func(w http.ResponseWriter, r *http.Request) {
			waits(w, r)
			assert.ErrorIs(t, context.Cause(r.Context()), stream.ErrDraining)
			w.WriteHeader(http.StatusGatewayTimeout)
			_, _ = io.WriteString(w, "too late")
		}, func(t *testing.T, a answer) {
			require.NoError(t, a.err)
			assert.Equal(t, http.StatusGatewayTimeout, a.StatusCode)
			assert.Equal(t, "too late", a.body)
		}, cancelled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := serve(t, &middleware.Drainer{Policy: rule}, c.handler)
				got := r.later("/")
				r.drain()
				report := r.ended(2 * time.Second)
				c.see(t, <-got)
				assert.EqualValues(t, 1, c.outcome(report), "%+v", report)
			})
		})
	}
}

func cancelled(r middleware.Report) uint64 { return r.Cancelled }
func wasCut(r middleware.Report) uint64    { return r.Cut }
func told(r middleware.Report) uint64      { return r.Told }

func TestDeadlineIsTheMomentOfTheCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, ok := stream.Deadline(r.Context())
			assert.False(t, ok, "before the drain")
			<-stream.Draining(r.Context())
			at, ok := stream.Deadline(r.Context())
			assert.True(t, ok)
			<-r.Context().Done()
			assert.Equal(t, at, time.Now())
		}))
		got := r.later("/")
		r.drain()
		r.ended(22 * time.Second) // 25 s less 2 s in reserve less 1 s from cancel to cut
		assert.Equal(t, http.StatusServiceUnavailable, (<-got).StatusCode)
	})
}

func TestLongPollIsWokenAndAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-stream.Draining(r.Context()):
				_, _ = io.WriteString(w, "nothing yet, come again")
			case <-r.Context().Done():
			}
		}))
		got := r.later("/")
		r.drain()
		report := r.ended(0)
		a := <-got
		assert.Equal(t, "nothing yet, come again", a.body)
		assert.True(t, a.Close, "Connection: close")
		assert.EqualValues(t, 1, report.Completed)
	})
}

// What a handler ignores for too long, the error names.
func TestHandlerThatNeverReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		d := &middleware.Drainer{Policy: policy.Rule{Grace: time.Second, Mercy: time.Second}}
		mux := http.NewServeMux()
		mux.HandleFunc("GET /deaf/{id}", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "x")
			w.(http.Flusher).Flush()
			<-release
		})
		r := serve(t, d, mux)
		got := r.later("/deaf/7")
		r.drain()
		a := <-got
		assert.Equal(t, 2*time.Second, r.since(), "the cut closes the connection under the handler")
		assert.ErrorIs(t, a.err, io.ErrUnexpectedEOF)
		took, err := r.end()
		assert.Equal(t, 3*time.Second, took, "cancel at 1 s, cut at 2 s, and half the reserve of 2 s to go")
		var incomplete *middleware.IncompleteError
		require.True(t, errors.As(err, &incomplete))
		require.Len(t, incomplete.Running, 1)
		assert.Equal(t, "GET /deaf/{id}", incomplete.Running[0].Route)
		assert.ErrorContains(t, err, "1 still running, which must return when their context is cancelled: GET /deaf/{id} (finite http, 3s old")
		assert.EqualValues(t, 1, d.Report().Cut)
		close(release)
		synctest.Wait()
	})
}

func TestPanicsPassThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		seen := make(chan any, 1)
		h := middleware.Graceful(d)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("mine") }))
		r := serveAll(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { seen <- recover() }()
			h.ServeHTTP(w, r)
		}))
		<-r.later("/")
		assert.Equal(t, "mine", <-seen)
		report := r.ended(0)
		assert.EqualValues(t, 1, report.Before.All())
	})
}
