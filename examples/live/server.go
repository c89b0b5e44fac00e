package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// A lifecycle is how the server is run and brought to its end: by lastcall's drain or by net/http's
// own Shutdown. The two differ in nothing else, so that what they do to clients can be compared.
type lifecycle interface {
	// notify returns a context that ends with parent or at the first signal.
	notify(parent context.Context) (context.Context, context.CancelFunc)
	// secondSignal says what a second Ctrl-C does.
	secondSignal() string
	// wrap returns h so that its responses are ended with the server.
	wrap(h http.Handler) http.Handler
	readiness() http.Handler
	// controls adds to mux how the drain stands, and what can be done to the server while it runs.
	controls(mux *http.ServeMux)
	status() status
	// run serves until ctx ends or serve fails, then ends all responses and the server.
	run(ctx context.Context, srv *http.Server, serve func() error) error
	// summary says how it ended, once run has returned.
	summary() summary
}

func newLifecycle(cfg config, log *slog.Logger, screen *screen) (lifecycle, error) {
	if cfg.bare {
		return newBare(cfg.budget, log), nil
	}
	return newGraceful(cfg, log, screen)
}

// serve serves ln until ctx ends and the lifecycle is over.
func serve(ctx context.Context, ln net.Listener, life lifecycle, log *slog.Logger) error {
	history := newHistory(log)
	room := newChat(history)
	board := newDashboard(func() int { return life.status().Open.all() })

	srv := &http.Server{
		Handler:           routes(life, room, board),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	// Whoever waits for this line may connect, or send a signal, the moment it comes.
	log.Info("listening", "addr", ln.Addr().String())
	err := life.run(ctx, srv, func() error { return srv.Serve(ln) })

	// No handler runs any more, so what they use can be closed.
	history.close()
	closing, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return errors.Join(err, board.close(closing))
}

// routes returns the whole server. The page, the status and the probes are not part of what is
// drained: they answer until the process ends.
func routes(life lifecycle, room *chat, board *dashboard) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /ws", room)
	mux.Handle("GET /events", board)
	mux.HandleFunc("GET /answer", answer)
	mux.HandleFunc("GET /download", download)
	mux.HandleFunc("GET /poll", room.poll)

	outer := http.NewServeMux()
	outer.Handle("/", life.wrap(mux))
	servePage(outer)
	outer.Handle("GET /status", serveStatus(life.status))
	outer.Handle("GET /readyz", life.readiness())
	outer.HandleFunc("GET /healthz", healthz)
	life.controls(outer)
	return outer
}

// healthz says that the process is alive, also while it drains: a platform that restarts what isn't
// would cut everything short.
func healthz(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }

// pageURL returns the address of the page for a browser on this machine.
func pageURL(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "http://" + addr.String()
	}
	if ip := net.ParseIP(host); ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port)
}
