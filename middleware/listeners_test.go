package middleware_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// serveServer is serve for a server with fields of its own.
func serveServer(t *testing.T, d *middleware.Drainer, srv *http.Server) *rig {
	r := &rig{t: t, d: d, net: memnet.New(), ran: make(chan error, 1), began: time.Now()}
	r.client = &http.Client{Transport: &http.Transport{DialContext: r.net.Dial}}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() { r.ran <- d.Run(ctx, srv, func() error { return srv.Serve(r.net) }) }()
	return r
}

// Two processes accept on one socket: where the one that stops closes its listener first, every
// newcomer is served, by one of them.
func TestNoNewcomerIsRefusedOnASharedSocket(t *testing.T) {
	d := &middleware.Drainer{CloseListeners: true}
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "old") })
	mux.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		<-release
		_, _ = io.WriteString(w, "whole")
	})
	old := &http.Server{Handler: middleware.Graceful(d)(mux)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	file, err := l.(*net.TCPListener).File()
	require.NoError(t, err)
	inherited, err := net.FileListener(file)
	require.NoError(t, err)
	require.NoError(t, file.Close())

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ran := make(chan error, 1)
	go func() { ran <- d.Run(ctx, old, func() error { return old.Serve(l) }) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	url := "http://" + l.Addr().String()
	long, err := client.Get(url + "/long")
	require.NoError(t, err)
	defer long.Body.Close()

	next := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "new") })}
	served := make(chan error, 1)
	go func() { served <- next.Serve(inherited) }()
	defer func() {
		_ = next.Close()
		<-served
	}()

	var before, after atomic.Int32
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for after.Load() < 400 {
				res, err := client.Get(url)
				if !assert.NoError(t, err) {
					return
				}
				body, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if !assert.NoError(t, err) || !assert.Equal(t, 200, res.StatusCode, "by %s", body) {
					return
				}
				if before.Add(1) == 100 {
					stop()
				}
				if d.Report().Phase == middleware.Draining {
					assert.Equal(t, "new", string(body))
					after.Add(1)
				}
			}
		})
	}
	clients.Wait()
	stop()
	close(release)
	body, err := io.ReadAll(long.Body)
	assert.NoError(t, err)
	assert.Equal(t, "whole", string(body))
	assert.NoError(t, <-ran)
	assert.Zero(t, d.Report().Refused)
}

// What was accepted just before the listener closed has a second for its first request.
func TestFirstRequestsAfterTheListenerClosed(t *testing.T) {
	for name, c := range map[string]struct {
		accepted time.Duration // before the drain begins
		sent     time.Duration // after it; zero: never
		ends     time.Duration
	}{
		"at once":                 {0, time.Millisecond, 301 * time.Millisecond},
		"late":                    {0, 900 * time.Millisecond, 1200 * time.Millisecond},
		"never":                   {0, 0, time.Second},
		"one that had its second": {time.Second, 0, 300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{CloseListeners: true}
				r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") }))
				conn, err := r.net.Dial(context.Background(), "", "")
				require.NoError(t, err)
				defer conn.Close()
				time.Sleep(c.accepted)
				r.drain()
				_, err = r.net.Dial(context.Background(), "", "")
				assert.ErrorIs(t, err, net.ErrClosed)
				if c.sent > 0 {
					time.Sleep(c.sent)
					res := sendRequest(t, conn, bufio.NewReader(conn), "/", "HTTP/1.1")
					assert.Equal(t, 200, res.StatusCode)
					assert.True(t, res.Close)
					body, err := io.ReadAll(res.Body)
					assert.NoError(t, err)
					assert.Equal(t, "served", string(body))
				}
				report := r.endsAfter(c.ends)
				assert.Zero(t, report.Refused)
				assert.LessOrEqual(t, report.Took, 1300*time.Millisecond)
			})
		})
	}
}

// The time for first requests is the drain's own, which ends no later for it.
func TestClosingListenersKeepsWithinTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{CloseListeners: true, Budget: policy.Budget{Total: 10 * time.Second, Announce: time.Second}}
		r := serve(t, d, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }))
		got := r.getAsyncWith("/")
		synctest.Wait()
		r.drain()
		unused, err := r.net.Dial(context.Background(), "", "")
		require.NoError(t, err, "while announcing, the listener is open")
		defer unused.Close()
		took, err := r.end()
		assert.NoError(t, err)
		assert.LessOrEqual(t, took, 10*time.Second)
		assert.Equal(t, 503, (<-got).StatusCode)
	})
}

// With the listener idle connections are closed, and nothing else of what http.Server.Shutdown does
// comes early. Connections that are still busy after the drain are closed within the reserve.
func TestIdleConnectionsEndWithTheListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		d := &middleware.Drainer{CloseListeners: true}
		mux := http.NewServeMux()
		mux.HandleFunc("/outside", func(w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, "mine", r.Context().Value(key{}))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		})
		mux.Handle("/", middleware.Graceful(d)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			<-d.Draining()
			time.Sleep(5 * time.Second)
		})))
		mux.HandleFunc("/short", func(http.ResponseWriter, *http.Request) {})
		srv := &http.Server{Handler: mux, BaseContext: func(net.Listener) context.Context {
			return context.WithValue(context.Background(), key{}, "mine")
		}}
		began := time.Now()
		srv.RegisterOnShutdown(func() { assert.Equal(t, 5*time.Second, time.Since(began)) })
		r := serveServer(t, d, srv)
		outside, inside := r.getAsync("/outside"), r.getAsync("/")
		idle, err := r.net.Dial(context.Background(), "", "")
		require.NoError(t, err)
		defer idle.Close()
		br := bufio.NewReader(idle)
		sendRequest(t, idle, br, "/short", "HTTP/1.1")
		r.drain()
		_, err = br.ReadByte()
		assert.ErrorIs(t, err, io.EOF)
		assert.Zero(t, r.since())
		report := r.endsAfter(7 * time.Second)
		assert.Equal(t, 5*time.Second, report.Took)
		assert.ErrorIs(t, (<-outside).err, io.ErrUnexpectedEOF)
		assert.NoError(t, (<-inside).err)
	})
}

// A drain that may be taken back leaves the listener open, until it is final.
func TestListenersStayOpenWhileTheDrainMayBeTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{CloseListeners: true}
		free := make(chan struct{})
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			<-free
		}))
		got := r.getAsync("/")
		synctest.Wait()
		d.Drain()
		assert.Equal(t, 503, (<-r.getAsyncWith("/late")).StatusCode)
		d.Start()
		synctest.Wait()
		assert.ErrorIs(t, (<-r.getAsync("/later")).err, net.ErrClosed)
		close(free)
		_, err := r.end()
		assert.NoError(t, err)
		<-got
	})
}

// A second signal, or Close, closes the listener, too, and everything else at once.
func TestCloseClosesTheListeners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{CloseListeners: true, Budget: policy.Budget{Announce: 5 * time.Second}}
		r := serve(t, d, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }))
		got := r.getAsync("/")
		synctest.Wait()
		assert.NoError(t, d.Close())
		assert.NoError(t, <-r.ran)
		r.ran <- nil
		<-got
		_, _ = r.end()
	})
}
