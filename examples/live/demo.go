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

// demonstrate serves ln until ctx ends, connects clients, calls stop once all have received
// something, which ends ctx as a signal would, and returns what they saw.
func demonstrate(ctx context.Context, stop func(), ln net.Listener, cfg config, life lifecycle, log *slog.Logger) ([]result, error) {
	defer stop()
	var server errgroup.Group
	server.Go(func() error { return serve(ctx, ln, life, log) })

	clients := mixedClients(cfg.clients)
	limit, cancel := context.WithTimeout(context.Background(), cfg.budget+demoLimit)
	defer cancel()
	results, err := runClients(limit, "http://"+ln.Addr().String(), clients, func() {
		log.Info("all clients have received something; stopping", "clients", len(clients))
		stop()
	})
	return results, errors.Join(server.Wait(), err)
}

// mixedClients returns n clients: of ten, four are in the chat, four at the dashboard, one asks for
// an answer and one downloads. A single one talks in the chat, so that others are in the middle of
// hearing something when the server stops.
func mixedClients(n int) []client {
	mix := [...]client{
		chatListener, dashboardClient, chatListener, dashboardClient, answerClient,
		chatListener, dashboardClient, chatListener, dashboardClient, downloadClient,
	}
	clients := make([]client, n)
	for i := range clients {
		clients[i] = mix[i%len(mix)]
	}
	clients[0] = chatSpeaker
	return clients
}

// runClients runs all clients against the server at base, calls ready when each has received
// something or one has failed, and returns what they saw when the last one is done. The first error
// of a client ends the others.
func runClients(ctx context.Context, base string, clients []client, ready func()) ([]result, error) {
	g, ctx := errgroup.WithContext(ctx)
	httpClient := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
	results := make([]result, len(clients))
	all := make(chan struct{})
	var waiting atomic.Int64
	waiting.Store(int64(len(clients)))
	received := func() {
		if waiting.Add(-1) == 0 {
			close(all)
		}
	}
	for i, run := range clients {
		g.Go(func() (err error) {
			results[i], err = run(ctx, httpClient, base, received)
			return err
		})
	}
	select {
	case <-all:
	case <-ctx.Done():
	}
	ready()
	return results, g.Wait()
}
