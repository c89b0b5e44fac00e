package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// An ending is how the server is brought to its end: by lastcall's drain or by net/http's own Shutdown. It is all that
// the two have of their own, so that what they do to clients can be compared.
type ending interface {
	// notify gives a context that ends with parent or at the first signal.
	notify(parent context.Context) (context.Context, context.CancelFunc)
	wrap(http.Handler) http.Handler
	readiness() http.Handler
	operate(mux *http.ServeMux) // what can be done to the server while it goes on
	open() int                  // responses that have not ended
	// run serves until ctx ends or serve fails, then ends all responses and the server.
	run(ctx context.Context, srv *http.Server, serve func() error) error
	summary() summary
}

func newEnding(cfg config, log *slog.Logger, screen *screen) (ending, error) {
	if cfg.bare {
		return newBare(cfg.budget), nil
	}
	return newGraceful(cfg, log, screen)
}

// serve serves ln until ctx ends, or a signal comes, and the ending is over.
func serve(ctx context.Context, ln net.Listener, end ending, log *slog.Logger) error {
	ctx, stop := end.notify(ctx)
	defer stop()

	past := newHistory(log)
	room := newChat(past)
	board := newDashboard(end.open)

	srv := &http.Server{
		Handler:           routes(end, room, board),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	// Whoever waits for this line may send a signal the moment it comes, and connect, too.
	log.Info("listening", "addr", ln.Addr().String())
	err := end.run(ctx, srv, func() error { return srv.Serve(ln) })

	// No handler runs any more, so that what they use can go.
	past.close()
	closing, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return errors.Join(err, board.close(closing))
}

// routes gives the whole server. The probes stay outside of what is drained: they answer until the very end.
func routes(end ending, room *chat, board *dashboard) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", page)
	mux.Handle("GET /ws", room)
	mux.Handle("GET /events", board)
	mux.HandleFunc("GET /answer", answer)
	mux.HandleFunc("GET /download", download)
	mux.HandleFunc("GET /poll", room.poll)

	outer := http.NewServeMux()
	outer.Handle("/", end.wrap(mux))
	outer.Handle("GET /readyz", end.readiness())
	outer.HandleFunc("GET /healthz", healthz)
	end.operate(outer)
	return outer
}

// healthz tells that the process is alive, which it is while it drains, too: a platform that restarts what isn't would
// cut everything short.
func healthz(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }
