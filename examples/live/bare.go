package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// A bare lifecycle ends the server with net/http's own Shutdown and, when the budget is over, its
// Close. It counts the connections whose handlers run, because net/http forgets hijacked ones, and
// does nothing else for them.
type bare struct {
	budget time.Duration
	log    *slog.Logger

	mu    sync.Mutex                // guards conns and sum
	conns map[net.Conn]*handledConn // whose handlers run
	sum   summary
}

// A handledConn is a connection whose handler runs.
type handledConn struct {
	path     string // that was requested
	hijacked bool   // Shutdown doesn't know of it any more
}

type connKey struct{}

func newBare(budget time.Duration, log *slog.Logger) *bare {
	return &bare{budget: budget, log: log, conns: map[net.Conn]*handledConn{}, sum: summary{by: "net/http"}}
}

// notify leaves the second signal to the runtime, which kills the process.
func (b *bare) notify(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(parent, syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func (b *bare) secondSignal() string { return "kill the process" }

func (b *bare) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := r.Context().Value(connKey{}).(net.Conn)
		b.mu.Lock()
		b.conns[conn] = &handledConn{path: r.URL.Path}
		b.mu.Unlock()
		defer func() {
			b.mu.Lock()
			delete(b.conns, conn)
			b.mu.Unlock()
		}()
		next.ServeHTTP(w, r)
	})
}

// readiness is the same as liveness: nobody listens during Shutdown who could say "not ready".
func (b *bare) readiness() http.Handler { return http.HandlerFunc(healthz) }

func (b *bare) controls(*http.ServeMux) {}

func (b *bare) status() status {
	known, forgotten := b.open()
	return status{
		By: "net/http", Started: started, Phase: "serving",
		Budget: b.budget.Milliseconds(), Left: b.budget.Milliseconds(),
		Open: kinds{
			known.Finite + forgotten.Finite, known.SSE + forgotten.SSE, known.WebSocket + forgotten.WebSocket, 0,
		},
	}
}

func (b *bare) summary() summary {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sum
}

// open counts the connections whose handlers run: those that Shutdown waits for, and the hijacked
// ones, which it has forgotten.
func (b *bare) open() (known, forgotten kinds) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.conns {
		k := &known
		if c.hijacked {
			k = &forgotten
		}
		switch c.path {
		case "/events":
			k.SSE++
		case "/ws":
			k.WebSocket++
		default:
			k.Finite++
		}
	}
	return known, forgotten
}

func (b *bare) run(ctx context.Context, srv *http.Server, serve func() error) error {
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	srv.ConnState = func(c net.Conn, state http.ConnState) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if handled := b.conns[c]; handled != nil && state == http.StateHijacked {
			handled.hijacked = true
		}
	}
	served := make(chan error, 1)
	go func() { served <- serve() }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}

	known, forgotten := b.open()
	found, began := known.all()+forgotten.all(), time.Now()
	limit, cancel := context.WithTimeout(context.Background(), b.budget)
	defer cancel()
	stopWaiting := b.logWaiting(began)
	err := srv.Shutdown(limit)
	stopWaiting()
	open := b.closeAll()
	_ = srv.Close()
	<-served

	how := "returned in time"
	if err != nil {
		how = "gave up: " + err.Error()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sum.took, b.sum.ended, b.sum.cut = time.Since(began), found, open
	b.sum.rows = []row{
		{"found", found, "handlers running"},
		{"completed", found - open, "by themselves"},
		{"cut", open, "still open as Shutdown " + how},
	}
	return nil
}

// logWaiting logs what Shutdown waits for, at once and then every second, until stop is called.
func (b *bare) logWaiting(began time.Time) (stop func()) {
	over := make(chan struct{})
	var logging sync.WaitGroup
	logging.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			known, forgotten := b.open()
			b.log.Info("Shutdown waits", "for", known, "not_for", forgotten,
				"left", (b.budget - time.Since(began)).Round(100*time.Millisecond))
			select {
			case <-tick.C:
			case <-over:
				return
			}
		}
	})
	return func() {
		close(over)
		logging.Wait()
	}
}

// closeAll does to the connections that are still open what the kernel does when a process exits. A
// demonstration goes on after that, so that the clients can tell what they saw.
func (b *bare) closeAll() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		_ = c.Close()
	}
	return len(b.conns)
}
