package recipes

import (
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/lastcall-go/lastcall/middleware"
)

// Errgroup serves app, whose handler is wrapped by Graceful(d), and admin, whose handler is not:
// metrics, probes and profiles are answered until the drain is over. It returns nil, or the error
// of the server that failed first, which ends the other one too.
func Errgroup(ctx context.Context, d *middleware.Drainer, app, admin *http.Server) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer shutdown(admin)
		return d.Run(ctx, app, app.ListenAndServe)
	})
	g.Go(func() error {
		if err := admin.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return g.Wait()
}

// shutdown gives the last scrape a second. A profile that takes longer is closed.
func shutdown(srv *http.Server) {
	limit, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if srv.Shutdown(limit) != nil {
		srv.Close()
	}
}
