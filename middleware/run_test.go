package middleware_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// Without Run: the drain starts with http.Server.Shutdown and is waited for
// beside it.
func TestWithoutRun(t *testing.T) {
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
		got := r.later("/stream")
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

// When ctx ends first, everything is cut, and the error says what.
func TestShutdownWhoseContextEndsFirst(t *testing.T) {
	for name, c := range map[string]struct {
		context func() (context.Context, context.CancelFunc)
		after   time.Duration
		cause   error
	}{
		"cancelled meanwhile": {func() (context.Context, context.CancelFunc) {
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
				got := r.later("/wait")
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

// A deadline before the budget's end squeezes the drain into it.
func TestShutdownWithADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Grace: 10 * time.Second, Timeout: 5 * time.Second, Mercy: 5 * time.Second}}
		r := serve(t, d, ticks(nil))
		got := r.later("/")
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

func TestRunWhenServingFails(t *testing.T) {
	d := &middleware.Drainer{}
	err := d.Run(context.Background(), &http.Server{Addr: "256.0.0.1:x"}, func() error { return errors.New("no such port") })
	assert.EqualError(t, err, "middleware: serving: no such port")
	assert.Equal(t, middleware.Done, d.Report().Phase)
}

// Whom should it be announced to, with no listener left?
func TestRunDoesNotAnnounceThatServingFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Budget: policy.Budget{Announce: 10 * time.Second}}
		r := serve(t, d, http.NotFoundHandler())
		synctest.Wait()
		began := time.Now()
		err := d.Run(context.Background(), &http.Server{}, func() error { return errors.New("no such port") })
		require.EqualError(t, err, "middleware: serving: no such port")
		assert.Equal(t, 10*time.Second, time.Since(began), "the first server still serves")
		took, err := r.end()
		require.NoError(t, err)
		assert.Equal(t, 10*time.Second, took, "and ends with the others")

		d = &middleware.Drainer{Budget: d.Budget}
		began = time.Now()
		require.Error(t, d.Run(context.Background(), &http.Server{}, func() error { return errors.New("no such port") }))
		assert.Zero(t, time.Since(began))
	})
}

// Whoever begins the drain for good, Run ends with it.
func TestRunEndsWithTheDrain(t *testing.T) {
	for name, begin := range map[string]func(*middleware.Drainer){
		"Start":    (*middleware.Drainer).Start,
		"Shutdown": func(d *middleware.Drainer) { _ = d.Shutdown(context.Background()) },
		"Close":    func(d *middleware.Drainer) { _ = d.Close() },
		"Drain, then Start": func(d *middleware.Drainer) {
			d.Drain()
			time.Sleep(time.Hour)
			d.Start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{}
				r := serve(t, d, http.NotFoundHandler())
				synctest.Wait()
				begin(d)
				require.NoError(t, <-r.ran)
				r.ran <- nil
				_, _ = r.end()

				err := d.Run(t.Context(), &http.Server{}, func() error {
					t.Error("served")
					return nil
				})
				assert.EqualError(t, err, "middleware: Run was called on a Drainer that has drained for good, and would refuse every request; give Run and Graceful a new one")
			})
		})
	}
}

func TestRunChecksFirst(t *testing.T) {
	d := &middleware.Drainer{Policy: policy.Rule{Grace: time.Minute}}
	err := d.Run(context.Background(), &http.Server{}, func() error {
		t.Error("served")
		return nil
	})
	assert.ErrorContains(t, err, "grace 1m0s")
}

func TestRunTellsWhatIsMissing(t *testing.T) {
	d := &middleware.Drainer{}
	const missing = "middleware: Run was given no server, or nothing that serves it; give it srv and srv.ListenAndServe, say"
	assert.EqualError(t, d.Run(t.Context(), nil, func() error { return nil }), missing)
	assert.EqualError(t, d.Run(t.Context(), &http.Server{}, nil), missing)

	for _, wrapped := range []bool{false, true} {
		var log bytes.Buffer
		d := &middleware.Drainer{Logger: slog.New(slog.NewTextHandler(&log, nil))}
		if wrapped {
			middleware.Graceful(d) // as echo has it, which wraps a handler with each request
		}
		require.NoError(t, d.Run(t.Context(), &http.Server{}, func() error { return nil }))
		assert.Equal(t, !wrapped, strings.Contains(log.String(), "Run will drain nothing"), "%s", &log)
		assert.Contains(t, log.String(), "serve returned without an error and without a signal")
	}
}

func TestRunDoesNotWaitForAnotherServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		stop()
		other := make(chan struct{})
		began := time.Now()
		err := new(middleware.Drainer).Run(ctx, &http.Server{}, func() error { <-other; return nil })
		assert.EqualError(t, err, "middleware: serving: serve has not returned a second after srv was shut down; it must serve srv, and nothing else")
		assert.Equal(t, time.Second, time.Since(began))
		close(other)
	})
}

func TestRunKeepsTheServersHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		d := &middleware.Drainer{}
		var states []http.ConnState
		var mu sync.Mutex
		srv := &http.Server{
			Handler: middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, r.Context().Value(key{}).(string))
			})),
			ConnContext: func(ctx context.Context, _ net.Conn) context.Context { return context.WithValue(ctx, key{}, "mine") },
			ConnState: func(_ net.Conn, s http.ConnState) {
				mu.Lock()
				defer mu.Unlock()
				states = append(states, s)
			},
		}
		l := memnet.New()
		r := &rig{t: t, d: d, net: l, ran: make(chan error, 1), client: &http.Client{Transport: &http.Transport{DialContext: l.Dial}}}
		ctx, stop := context.WithCancel(context.Background())
		r.stop = stop
		go func() { r.ran <- d.Run(ctx, srv, func() error { return srv.Serve(l) }) }()
		assert.Equal(t, "mine", (<-r.later("/")).body)
		_, err := r.end()
		assert.NoError(t, err)
		mu.Lock()
		defer mu.Unlock()
		assert.Equal(t, []http.ConnState{http.StateNew, http.StateActive, http.StateIdle, http.StateClosed}, states)
	})
}

// HTTP/2 over TLS: the stream is told and ends, the finite response completes or
// is reset, and late requests are refused.
func TestHTTP2(t *testing.T) {
	d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce}}
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.Handle("GET /stream", ticks(nil))
	mux.HandleFunc("GET /finite", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		<-release
		_, _ = io.WriteString(w, "last")
	})
	ts := httptest.NewUnstartedServer(middleware.Graceful(d)(mux))
	ts.EnableHTTP2 = true
	ts.StartTLS()
	defer ts.Close()
	get := func(path string) *http.Response {
		res, err := ts.Client().Get(ts.URL + path)
		require.NoError(t, err)
		require.Equal(t, 2, res.ProtoMajor)
		t.Cleanup(func() { res.Body.Close() })
		return res
	}
	events, finite := get("/stream"), get("/finite")
	first := make([]byte, 4)
	_, err := io.ReadFull(events.Body, first)
	require.NoError(t, err)
	d.Start()
	body, err := io.ReadAll(events.Body)
	assert.NoError(t, err, "a clean end of the stream")
	assert.Regexp(t, `(?s)event: shutdown\ndata: .*\n\n$`, string(body))
	assert.Equal(t, http.StatusServiceUnavailable, get("/late").StatusCode)
	close(release)
	body, err = io.ReadAll(finite.Body)
	assert.NoError(t, err)
	assert.Equal(t, "first last", string(body))
	assert.NoError(t, d.Shutdown(context.Background()))
	r := d.Report()
	assert.EqualValues(t, 1, r.Told)
	assert.EqualValues(t, 1, r.Completed)
}

func TestHTTP2Cut(t *testing.T) {
	d := &middleware.Drainer{Policy: policy.Rule{Grace: policy.AtOnce, Mercy: policy.AtOnce}}
	deaf := make(chan struct{})
	ts := httptest.NewUnstartedServer(middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		<-deaf
	})))
	ts.EnableHTTP2 = true
	ts.StartTLS()
	defer ts.Close()
	res, err := ts.Client().Get(ts.URL)
	require.NoError(t, err)
	defer res.Body.Close()
	d.Start()
	_, err = io.ReadAll(res.Body)
	assert.ErrorContains(t, err, "INTERNAL_ERROR", "the stream is reset, though its handler does nothing")
	close(deaf)
	assert.NoError(t, d.Shutdown(context.Background()))
	assert.EqualValues(t, 1, d.Report().Cut)
}

func TestRunOverTLS(t *testing.T) {
	d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce}}
	certs := httptest.NewUnstartedServer(nil)
	certs.StartTLS()
	config := certs.TLS.Clone()
	config.NextProtos = nil
	pool := certs.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	certs.Close()

	srv := &http.Server{Handler: middleware.Graceful(d)(ticks(nil)), TLSConfig: config}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ran := make(chan error)
	go func() { ran <- d.Run(ctx, srv, func() error { return srv.ServeTLS(l, "", "") }) }()
	client := &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: pool},
	}}
	defer client.CloseIdleConnections()
	res, err := client.Get("https://" + l.Addr().String())
	require.NoError(t, err)
	defer res.Body.Close()
	assert.Equal(t, 2, res.ProtoMajor)
	stop()
	body, err := io.ReadAll(res.Body)
	assert.NoError(t, err)
	assert.Contains(t, string(body), "event: shutdown")
	client.CloseIdleConnections()
	assert.NoError(t, <-ran)
}

// The first signal ends the context, the second cuts.
func TestNotifyContext(t *testing.T) {
	d := &middleware.Drainer{}
	running := make(chan struct{})
	h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(running)
		<-r.Context().Done()
	}))
	ctx, stop := middleware.NotifyContext(context.Background(), d)
	defer stop()
	var handlers sync.WaitGroup
	handlers.Go(func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)) })
	<-running // a drain without it would be over before the second signal has come

	self, err := os.FindProcess(os.Getpid())
	require.NoError(t, err)
	require.NoError(t, self.Signal(syscall.SIGTERM))
	<-ctx.Done()
	assert.ErrorContains(t, context.Cause(ctx), "terminated")
	ended := make(chan error)
	go func() { ended <- d.Shutdown(context.WithoutCancel(ctx)) }()
	<-d.Draining()
	require.NoError(t, self.Signal(os.Interrupt))
	assert.NoError(t, <-ended)
	handlers.Wait()
	stop()
	stop() // a second call does nothing
}

func TestLogLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		plain := slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})
		d := &middleware.Drainer{Logger: slog.New(plain), Policy: policy.Rule{Timeout: 1500 * time.Millisecond}}
		mux := http.NewServeMux()
		mux.Handle("GET /stream", ticks(nil))
		r := serve(t, d, mux)
		stuck := r.stuck("/stream")
		defer stuck.Close()
		healthy := r.later("/stream")
		r.drain()
		r.ended(2500 * time.Millisecond)
		<-healthy
		assert.Equal(t, `level=INFO msg="drain begins" finite=0 sse=2 websocket=0 other=0 announce=0s budget=25s
level=INFO msg=draining finite=0 sse=2 websocket=0 other=0 left=24s
level=INFO msg=draining finite=0 sse=1 websocket=0 other=0 left=23s
level=WARN msg=cut route="GET /stream" kind=infinite protocol=sse age=2.5s idle=2.5s
level=INFO msg="drain ends" took=2.5s completed=0 told=1 unanswered=0 cancelled=0 cut=1 refused=0
`, log.String())
	})
}

// Later calls of Close find nothing more to cut, and put nothing off.
func TestCloseAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		deaf := make(chan struct{})
		r := serve(t, d, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-deaf }))
		got := r.later("/")
		r.drain()
		for range 3 {
			go func() { _ = d.Close() }()
			time.Sleep(400 * time.Millisecond)
		}
		var incomplete *middleware.IncompleteError
		require.ErrorAs(t, <-r.ran, &incomplete)
		assert.Equal(t, time.Second, d.Report().Took)
		close(deaf)
		<-got
		r.ran <- nil
		_, _ = r.end()
	})
}
