package recipes

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"

	"github.com/lastcall-go/lastcall/middleware"
)

// Systemd serves app on the socket that systemd has opened for the service.
func Systemd(app http.Handler) error {
	l, err := systemdSocket()
	if err != nil {
		return err
	}
	d := &middleware.Drainer{
		CloseListeners: true, // newcomers wait in the socket for the next process
		Logger:         slog.Default(),
	}
	ctx, stop := middleware.NotifyContext(context.Background(), d)
	defer stop()
	srv := &http.Server{Handler: middleware.Graceful(d)(app)}
	return d.Run(ctx, srv, func() error { return srv.Serve(l) })
}

// systemdSocket returns the first socket that systemd hands over: see sd_listen_fds(3).
func systemdSocket() (net.Listener, error) {
	n, _ := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if n < 1 || os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, errors.New("systemd has handed over no socket: start the service by its .socket unit")
	}
	f := os.NewFile(3, "systemd") // the first one
	defer f.Close()               // FileListener has a copy
	return net.FileListener(f)
}
