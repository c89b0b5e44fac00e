package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// demoLimit is how long a demonstration may take beyond its budget.
const demoLimit = time.Minute

// demonstrate serves ln, lets clients come, ends the server once all have received something, the way a signal does, and
// gives what they saw.
func demonstrate(ln net.Listener, cfg config, end ending, log *slog.Logger) ([]sighting, error) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var server errgroup.Group
	server.Go(func() error { return serve(ctx, ln, end, log) })

	guests := crowd(cfg.clients)
	limit, cancel := context.WithTimeout(context.Background(), cfg.budget+demoLimit)
	defer cancel()
	seen, err := visit(limit, "http://"+ln.Addr().String(), guests, func() {
		log.Info("all clients have received something", "clients", len(guests))
		stop()
	})
	return seen, errors.Join(server.Wait(), err)
}

// crowd gives n guests: of ten, four in the chat, four at the dashboard, one that asks and one that downloads. A single
// one talks, which is enough for the chat to be in the middle of something.
func crowd(n int) []guest {
	mix := [...]guest{listener, watcher, listener, watcher, asker, listener, watcher, listener, watcher, downloader}
	guests := make([]guest, n)
	for i := range guests {
		guests[i] = mix[i%len(mix)]
	}
	guests[0] = speaker
	return guests
}

// visit sends all guests to the server at base, calls ready when each has received something or one has failed, and
// gives what they saw when the last one is done. The first error of a guest sends the others home.
func visit(ctx context.Context, base string, guests []guest, ready func()) ([]sighting, error) {
	g, ctx := errgroup.WithContext(ctx)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	seen := make([]sighting, len(guests))
	all := make(chan struct{})
	var waiting atomic.Int64
	waiting.Store(int64(len(guests)))
	received := func() {
		if waiting.Add(-1) == 0 {
			close(all)
		}
	}
	for i, come := range guests {
		g.Go(func() (err error) {
			seen[i], err = come(ctx, client, base, received)
			return err
		})
	}
	select {
	case <-all:
	case <-ctx.Done():
	}
	ready()
	return seen, g.Wait()
}
