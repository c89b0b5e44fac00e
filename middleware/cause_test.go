package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// Log and report say what began the drain.
func TestCauseOfADrain(t *testing.T) {
	background := context.Background()
	for name, c := range map[string]struct {
		begin func(d *middleware.Drainer, r *rig)
		want  string
	}{
		"Start":               {func(d *middleware.Drainer, _ *rig) { d.Start() }, "Start was called"},
		"Drain":               {func(d *middleware.Drainer, _ *rig) { d.Drain(); d.Start() }, "Drain was called"},
		"Drain, taken back":   {func(d *middleware.Drainer, _ *rig) { d.Drain(); _ = d.Resume(); d.Start() }, "Start was called"},
		"Shutdown":            {func(d *middleware.Drainer, _ *rig) { _ = d.Shutdown(background) }, "Shutdown was called"},
		"Close":               {func(d *middleware.Drainer, _ *rig) { _ = d.Close() }, "Close was called"},
		"the context of Run":  {func(_ *middleware.Drainer, r *rig) { r.stop() }, "the context given to Run ended: context canceled"},
		"a server that ended": {func(_ *middleware.Drainer, r *rig) { _ = r.net.Close() }, "serving memory:80: " + net.ErrClosed.Error()},
		"another server": {func(d *middleware.Drainer, _ *rig) {
			_ = d.Run(background, &http.Server{Addr: ":81"}, func() error { return errors.New("no such port") })
		}, "serving :81: no such port"},
		"another server that was shut down": {func(d *middleware.Drainer, _ *rig) {
			_ = d.Run(background, &http.Server{Addr: ":81"}, func() error { return http.ErrServerClosed })
		}, "serving :81 ended"},
		"the cause of Run's context": {func(d *middleware.Drainer, _ *rig) {
			ctx, cancel := context.WithCancelCause(background)
			cancel(errors.New("moved to another zone"))
			_ = d.Run(ctx, &http.Server{}, func() error { return nil })
		}, "moved to another zone"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				d := &middleware.Drainer{Logger: slog.New(slog.NewTextHandler(&log, nil))}
				r := serveServer(t, d, &http.Server{Addr: "memory:80", Handler: middleware.Graceful(d)(http.NotFoundHandler())})
				synctest.Wait()
				assert.Empty(t, d.Report().Cause)
				c.begin(d, r)
				synctest.Wait()
				_, _ = r.end()
				assert.Equal(t, c.want, d.Report().Cause)
				assert.Contains(t, log.String(), `budget=25s cause="`+c.want+`"`)
			})
		})
	}
}

// Where one of two servers fails at its start, its error is what is returned, whichever is first.
func TestTheServerThatFailsIsNamed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	run := map[string]func(context.Context, *middleware.Drainer, ...*http.Server) error{
		"a Run each": func(ctx context.Context, d *middleware.Drainer, servers ...*http.Server) error {
			var g errgroup.Group
			for _, srv := range servers {
				g.Go(func() error { return d.Run(ctx, srv, srv.ListenAndServe) })
			}
			return g.Wait()
		},
		"a Run after the failure": func(ctx context.Context, d *middleware.Drainer, servers ...*http.Server) error {
			if servers[0].Addr != taken.Addr().String() {
				servers[0], servers[1] = servers[1], servers[0]
			}
			_ = d.Run(ctx, servers[0], servers[0].ListenAndServe)
			return d.Run(ctx, servers[1], servers[1].ListenAndServe)
		},
		"RunAll": func(ctx context.Context, d *middleware.Drainer, servers ...*http.Server) error {
			var all []middleware.Server
			for _, srv := range servers {
				all = append(all, middleware.Server{HTTP: srv, Serve: srv.ListenAndServe})
			}
			return d.RunAll(ctx, all...)
		},
	}
	for name, run := range run {
		t.Run(name, func(t *testing.T) {
			for i := range 20 {
				d := &middleware.Drainer{}
				h := middleware.Graceful(d)(http.NotFoundHandler())
				servers := []*http.Server{{Addr: "127.0.0.1:0", Handler: h}, {Addr: taken.Addr().String(), Handler: h}}
				if i%2 == 1 {
					servers[0], servers[1] = servers[1], servers[0]
				}
				err := run(context.Background(), d, servers...)
				require.ErrorIs(t, err, syscall.EADDRINUSE)
				require.ErrorContains(t, err, taken.Addr().String())
				require.Contains(t, d.Report().Cause, syscall.EADDRINUSE.Error())
			}
		})
	}
}

// RunAll ends all of its servers with its context.
func TestRunAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce}}
		h := middleware.Graceful(d)(ticks(nil))
		nets := []*memnet.Network{memnet.New(), memnet.New()}
		var servers []middleware.Server
		var rigs []*rig
		for _, l := range nets {
			srv := &http.Server{Handler: h}
			servers = append(servers, middleware.Server{HTTP: srv, Serve: func() error { return srv.Serve(l) }})
			rigs = append(rigs, &rig{t: t, d: d, client: &http.Client{Transport: &http.Transport{DialContext: l.Dial}}})
		}
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- d.RunAll(ctx, servers...) }()
		one, two := rigs[0].getAsync("/"), rigs[1].getAsync("/")
		synctest.Wait()
		stop()
		assert.NoError(t, <-ran)
		for _, got := range []<-chan answer{one, two} {
			assert.Contains(t, (<-got).body, "event: shutdown")
		}
		for i, l := range nets {
			_, err := l.Dial(t.Context(), "", "")
			assert.ErrorIs(t, err, net.ErrClosed)
			rigs[i].client.CloseIdleConnections()
		}
	})
}

// An http.Server that serves two listeners is shut down once.
func TestRunAllOfOneServerWithTwoListeners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		var calls atomic.Int32
		srv := &http.Server{Handler: middleware.Graceful(d)(http.NotFoundHandler())}
		srv.RegisterOnShutdown(func() { calls.Add(1) })
		ctx, stop := context.WithCancel(t.Context())
		var servers []middleware.Server
		var rigs []*rig
		for range 2 {
			l := memnet.New()
			servers = append(servers, middleware.Server{HTTP: srv, Serve: func() error { return srv.Serve(l) }})
			rigs = append(rigs, &rig{t: t, d: d, client: &http.Client{Transport: &http.Transport{DialContext: l.Dial}}})
		}
		ran := make(chan error, 1)
		go func() { ran <- d.RunAll(ctx, servers...) }()
		for _, r := range rigs {
			assert.Equal(t, 404, (<-r.getAsync("/")).StatusCode)
		}
		stop()
		assert.NoError(t, <-ran)
		synctest.Wait()
		assert.EqualValues(t, 1, calls.Load())
	})
}

// RunAll returns the errors of all servers that failed, and of one that doesn't end.
func TestRunAllReturnsEveryError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		first, second, other := errors.New("first"), errors.New("second"), make(chan struct{})
		serve := func(wait time.Duration, err error) middleware.Server {
			return middleware.Server{HTTP: &http.Server{}, Serve: func() error {
				time.Sleep(wait)
				return err
			}}
		}
		err := d.RunAll(t.Context(), serve(200*time.Millisecond, second), serve(100*time.Millisecond, first),
			middleware.Server{HTTP: &http.Server{}, Serve: func() error { <-other; return nil }})
		assert.ErrorIs(t, err, first)
		assert.ErrorIs(t, err, second)
		assert.Less(t, strings.Index(err.Error(), "first"), strings.Index(err.Error(), "second"))
		assert.ErrorContains(t, err, "serve has not returned a second after")
		assert.Equal(t, "serving: first", d.Report().Cause)
		close(other)
	})
	d := &middleware.Drainer{}
	assert.EqualError(t, d.RunAll(t.Context()), "middleware: RunAll was given no server")
	assert.ErrorContains(t, d.RunAll(t.Context(), middleware.Server{HTTP: &http.Server{}}), "Run was given no server, or nothing that serves it")
}

// A Serve function that panics, as a listener or a ConnState function may, is an error.
func TestServeThatPanics(t *testing.T) {
	d := &middleware.Drainer{}
	err := d.Run(t.Context(), &http.Server{}, func() error { panic("no listener") })
	assert.ErrorContains(t, err, "middleware: serving: panic: no listener")
	assert.ErrorContains(t, err, "cause_test.go", "its stack")
}
