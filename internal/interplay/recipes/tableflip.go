package recipes

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"github.com/cloudflare/tableflip"

	"github.com/lastcall-go/lastcall/middleware"
)

// Tableflip serves app at addr. On SIGHUP it starts the program anew, which inherits the socket,
// and drains once that one is ready. On SIGTERM it drains and leaves nobody behind.
func Tableflip(addr string, app http.Handler) error {
	upg, err := tableflip.New(tableflip.Options{})
	if err != nil {
		return err
	}
	defer upg.Stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	go func() {
		for range hup {
			if err := upg.Upgrade(); err != nil {
				slog.Error("no new process", "err", err)
			}
		}
	}()
	l, err := upg.Listen("tcp", addr)
	if err != nil {
		return err
	}

	d := &middleware.Drainer{
		CloseListeners: true, // all newcomers go to the new process, none is refused by the old one
		Logger:         slog.Default(),
	}
	ctx, stop := middleware.NotifyContext(context.Background(), d)
	defer stop()
	ctx, end := context.WithCancelCause(ctx)
	go func() {
		<-upg.Exit()
		end(errors.New("a new process has taken over"))
	}()
	context.AfterFunc(ctx, upg.Stop) // on SIGTERM: tableflip holds the socket as well
	srv := &http.Server{Handler: middleware.Graceful(d)(app)}
	return d.Run(ctx, srv, func() error {
		if err := upg.Ready(); err != nil { // now the old process drains; who dials already waits in the socket
			return err
		}
		return srv.Serve(l)
	})
}
