package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// Without Run, http.Server.Shutdown starts the drain, and Drainer.Shutdown waits for it.
func TestShutdownBesideTheServersOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: time.Second}}
		s := &store{t: t}
		mux := http.NewServeMux()
		mux.Handle("/stream", ticks(s))
		mux.Handle("/ws", echo(s))
		l := memnet.New()
		srv := &http.Server{Handler: middleware.Graceful(d)(mux)}
		srv.RegisterOnShutdown(d.Start)
		served := make(chan error)
		go func() { served <- srv.Serve(l) }()
		r := &rig{t: t, d: d, net: l, client: &http.Client{Transport: &http.Transport{DialContext: l.Dial}}}
		got := r.getAsync("/stream")
		c := r.dial("/ws")
		closed := make(chan error)
		go func() {
			_, _, err := c.ReadMessage()
			closed <- err
		}()
		synctest.Wait()

		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		assert.NoError(t, errors.Join(srv.Shutdown(ctx), d.Shutdown(ctx)))
		s.closed.Store(true)
		assert.ErrorIs(t, <-served, http.ErrServerClosed)
		closeOf(t, <-closed)
		assert.Contains(t, (<-got).body, "event: shutdown")
		assert.EqualValues(t, 2, d.Report().Told)
	})
}

// When Shutdown's context ends first, everything is cut, and the error says what.
func TestShutdownWhoseContextEndsFirst(t *testing.T) {
	for name, c := range map[string]struct {
		context func() (context.Context, context.CancelFunc)
		after   time.Duration
		cause   error
	}{
		"canceled meanwhile": {func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(2*time.Second, cancel)
			return ctx, cancel
		}, 2 * time.Second, context.Canceled},
		"over from the beginning": {func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return ctx, cancel
		}, 0, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				d := &middleware.Drainer{Logger: slog.New(slog.NewTextHandler(&log, nil))}
				mux := http.NewServeMux()
				mux.HandleFunc("GET /wait", func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.WriteString(w, "x")
					w.(http.Flusher).Flush()
					<-r.Context().Done()
				})
				r := serve(t, d, mux)
				got := r.getAsync("/wait")
				synctest.Wait()
				began := time.Now()
				ctx, cancel := c.context()
				defer cancel()
				err := d.Shutdown(ctx)
				assert.Equal(t, c.after, time.Since(began))
				assert.ErrorIs(t, err, c.cause)
				assert.ErrorContains(t, err, "1 cut: GET /wait (finite http")
				assert.Equal(t, c.after == 0, strings.Contains(log.String(), "a context that is already over"), log.String())
				assert.Error(t, (<-got).err)
				_, _ = r.end()
			})
		})
	}
}

// A deadline before the budget's end squeezes the drain into what is left.
func TestDeadlineSqueezesTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Grace: 10 * time.Second, Timeout: 5 * time.Second, Mercy: 5 * time.Second}}
		r := serve(t, d, ticks(nil))
		got := r.getAsync("/")
		synctest.Wait()
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		assert.NoError(t, d.Shutdown(ctx))
		assert.Equal(t, 3450*time.Millisecond, time.Since(began), "grace and timeout, in what a fifth of the budget's 23 s leaves them")
		a := <-got
		assert.NoError(t, a.err)
		assert.Contains(t, a.body, "event: shutdown")
		_, err := r.end()
		assert.NoError(t, err)
	})
}

// A handler that ignores its canceled context past its cut is named in the error.
func TestErrorNamesTheHandlersThatStillRun(t *testing.T) {
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
		got := r.getAsync("/deaf/7")
		r.drain()
		a := <-got
		assert.Equal(t, 2*time.Second, r.since(), "the cut closes the connection under the handler")
		assert.ErrorIs(t, a.err, io.ErrUnexpectedEOF)
		took, err := r.end()
		assert.Equal(t, 3*time.Second, took, "cancel at 1 s, cut at 2 s, and half the reserve of 2 s to go")
		var incomplete *middleware.IncompleteError
		require.True(t, errors.As(err, &incomplete))
		require.Len(t, incomplete.Running, 1)
		assert.Equal(t, "GET /deaf/7 (pattern GET /deaf/{id})", incomplete.Running[0].Route)
		assert.ErrorContains(t, err, "1 still running, which must return when their context is canceled: GET /deaf/7 (pattern GET /deaf/{id}) (finite http, 3s old")
		assert.EqualValues(t, 1, d.Report().Cut)
		close(release)
		synctest.Wait()
	})
}

// A ResponseWriter without deadlines can hold its own handler for ever, but not the drain.
func TestWriterThatCannotBeFreedHoldsUpNoDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Budget: policy.Budget{Total: 10 * time.Second}}
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusOK)
			<-r.Context().Done()
		}))
		w := &blockingWriter{ResponseRecorder: httptest.NewRecorder(), free: make(chan struct{})}
		returned := make(chan struct{})
		go func() {
			defer close(returned)
			defer func() { assert.Equal(t, http.ErrAbortHandler, recover(), "as net/http does: it must not look whole") }()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/deaf", nil))
		}()
		synctest.Wait()
		began := time.Now()
		err := d.Shutdown(context.Background())
		assert.ErrorContains(t, err, "1 still running")
		assert.LessOrEqual(t, time.Since(began), 10*time.Second)
		close(w.free)
		<-returned
	})
}

type blockingWriter struct {
	*httptest.ResponseRecorder
	free chan struct{}
}

func (b *blockingWriter) Write(p []byte) (int, error) {
	<-b.free
	return len(p), nil
}
