package middleware_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

func TestFiniteResponseIsLeftToComplete(t *testing.T) {
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
		got := r.getAsync("/")
		time.Sleep(500 * time.Millisecond)
		r.drain()
		report := r.endsAfter(7500 * time.Millisecond) // the instant that it is done, and not the budget's 25 s
		a := <-got
		require.NoError(t, a.err)
		assert.Equal(t, "part part part part part part part part ", a.body)
		assert.EqualValues(t, 1, report.Completed)
		assert.Equal(t, 1, report.Found.Finite)
	})
}

// A finite response whose time is up is answered with 503, or broken off, unless it is complete.
func TestFiniteResponseCutShortNeverLooksComplete(t *testing.T) {
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
		}, canceled},
		"header set, nothing written": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.Header().Set("Content-Encoding", "gzip")
			waits(w, r)
		}, func(t *testing.T, a answer) {
			require.NoError(t, a.err)
			assert.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
			assert.Empty(t, a.Header.Get("Content-Encoding"))
		}, canceled},
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
		}, canceled},
		"the handler's own answer": {func(w http.ResponseWriter, r *http.Request) {
			waits(w, r)
			assert.ErrorIs(t, context.Cause(r.Context()), stream.ErrDraining)
			w.WriteHeader(http.StatusGatewayTimeout)
			_, _ = io.WriteString(w, "too late")
		}, func(t *testing.T, a answer) {
			require.NoError(t, a.err)
			assert.Equal(t, http.StatusGatewayTimeout, a.StatusCode)
			assert.Equal(t, "too late", a.body)
		}, canceled},
		"a long answer to the cancel": {func(w http.ResponseWriter, r *http.Request) {
			waits(w, r)
			for range 20 {
				_, _ = w.Write(make([]byte, 1000))
			}
		}, func(t *testing.T, a answer) {
			require.NoError(t, a.err)
			assert.Len(t, a.body, 20_000)
		}, canceled},
		"an answer to the cancel that is flushed in the middle": {func(w http.ResponseWriter, r *http.Request) {
			waits(w, r)
			_, _ = w.Write(make([]byte, 1500))
			w.(http.Flusher).Flush()
			_, _ = w.Write(make([]byte, 1500))
		}, func(t *testing.T, a answer) {
			require.NoError(t, a.err)
			assert.Len(t, a.body, 3000)
		}, canceled},
		"an answer to the cancel that lacks some of its declared length": {func(w http.ResponseWriter, r *http.Request) {
			waits(w, r)
			w.Header().Set("Content-Length", "4000")
			_, _ = w.Write(make([]byte, 3000))
			w.(http.Flusher).Flush()
		}, func(t *testing.T, a answer) {
			assert.ErrorIs(t, a.err, io.ErrUnexpectedEOF)
		}, wasCut},
		"a flushed error is an answer to the cancel": {func(w http.ResponseWriter, r *http.Request) {
			waits(w, r)
			http.Error(w, "too late", http.StatusGatewayTimeout)
			w.(http.Flusher).Flush()
		}, func(t *testing.T, a answer) {
			require.NoError(t, a.err)
			assert.Equal(t, "too late\n", a.body)
		}, canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := serve(t, &middleware.Drainer{Policy: rule}, c.handler)
				got := r.getAsyncWith("/")
				r.drain()
				report := r.endsAfter(2 * time.Second)
				c.see(t, <-got)
				assert.EqualValues(t, 1, c.outcome(report), "%+v", report)
			})
		})
	}
}

func TestEmptyResponseInADrainClosesItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-stream.Draining(r.Context())
		}))
		got := r.getAsync("/")
		r.drain()
		r.endsAfter(0)
		a := <-got
		assert.Equal(t, http.StatusOK, a.StatusCode)
		assert.True(t, a.Close, "Connection: close")
	})
}

// A handler that waits for the rest of an upload is freed at its cancel, so that the client can be
// answered. Without ConnContext read deadlines do it.
func TestHandlerStuckInAnUploadIsFreedAndAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Grace: time.Second, Mercy: time.Second}}
		l := memnet.New()
		failed := make(chan error, 1)
		srv := &http.Server{Handler: middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			failed <- err
		}))}
		served := make(chan error)
		go func() { served <- srv.Serve(l) }()
		c, err := l.Dial(context.Background(), "", "")
		require.NoError(t, err)
		defer c.Close()
		_, err = io.WriteString(c, "POST / HTTP/1.1\r\nHost: memory\r\nContent-Length: 100\r\n\r\nsome")
		require.NoError(t, err)
		answered := make(chan *http.Response, 1)
		go func() {
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			assert.NoError(t, err)
			answered <- res
		}()
		synctest.Wait()
		began := time.Now()
		assert.NoError(t, d.Shutdown(context.Background()))
		assert.Error(t, <-failed)
		assert.Equal(t, http.StatusServiceUnavailable, (<-answered).StatusCode)
		assert.Equal(t, time.Second, time.Since(began))
		assert.EqualValues(t, 1, d.Report().Canceled)
		srv.Close()
		<-served
	})
}

func TestPanicsPassThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		seen := make(chan any, 1)
		h := middleware.Graceful(d)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("mine") }))
		r := serveWrapped(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { seen <- recover() }()
			h.ServeHTTP(w, r)
		}))
		<-r.getAsync("/")
		assert.Equal(t, "mine", <-seen)
		report := r.endsAfter(0)
		assert.EqualValues(t, 1, report.Before.All())
	})
}
