package main

import (
	"context"
	"net"
	"net/http"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// bare ends the server with net/http's own Shutdown and, when the budget is over, its Close. It counts the handlers that
// run, since net/http forgets hijacked connections, and does nothing else for them.
type bare struct {
	budget time.Duration

	mu    sync.Mutex            // guards following
	conns map[net.Conn]struct{} // whose handlers run
	sum   summary
}

type connKey struct{}

func newBare(budget time.Duration) *bare {
	return &bare{budget: budget, conns: map[net.Conn]struct{}{}, sum: summary{by: "net/http"}}
}

// notify leaves the second signal to the runtime, which kills the process.
func (b *bare) notify(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(parent, syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

func (b *bare) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn := r.Context().Value(connKey{}).(net.Conn)
		b.mu.Lock()
		b.conns[conn] = struct{}{}
		b.mu.Unlock()
		defer func() {
			b.mu.Lock()
			delete(b.conns, conn)
			b.mu.Unlock()
		}()
		next.ServeHTTP(w, r)
	})
}

// readiness is like liveness: during Shutdown nobody listens who could tell.
func (b *bare) readiness() http.Handler { return http.HandlerFunc(healthz) }

func (b *bare) operate(*http.ServeMux) {}

func (b *bare) open() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.conns)
}

func (b *bare) summary() summary {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sum
}

func (b *bare) run(ctx context.Context, srv *http.Server, serve func() error) error {
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	served := make(chan error, 1)
	go func() { served <- serve() }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}

	found, began := b.open(), time.Now()
	limit, cancel := context.WithTimeout(context.Background(), b.budget)
	defer cancel()
	err := srv.Shutdown(limit)
	open := b.closeAll()
	_ = srv.Close()
	<-served

	said := "returned in time"
	if err != nil {
		said = "gave up: " + err.Error()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sum.took, b.sum.ended, b.sum.cut = time.Since(began), found, open
	b.sum.rows = []row{
		{"found", found, "handlers running"},
		{"completed", found - open, "by themselves"},
		{"cut", open, "still open as Shutdown " + said},
	}
	return nil
}

// closeAll does to the connections that are still open what the kernel does when the process exits: in a demonstration it
// must go on, for the clients to tell.
func (b *bare) closeAll() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.conns {
		_ = c.Close()
	}
	return len(b.conns)
}
