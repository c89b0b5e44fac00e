package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// graceful ends the server with lastcall. This file is all that a program needs of it.
type graceful struct {
	drainer *middleware.Drainer
	screen  *screen
	rules   policy.Swap
	file    string // that rules are read from; empty: none
}

func newGraceful(cfg config, log *slog.Logger, screen *screen) (*graceful, error) {
	g := &graceful{screen: screen, file: cfg.policy}
	g.drainer = &middleware.Drainer{
		Policy: &g.rules,
		Budget: policy.Budget{Total: cfg.budget, Announce: cfg.announce, Reserve: cfg.reserve},
		Logger: log,
	}
	return g, g.rules.Store(cmp.Or(cfg.table, rules()), g.drainer.Budget)
}

func (g *graceful) notify(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := middleware.NotifyContext(parent, g.drainer)
	if g.file == "" {
		return ctx, stop
	}
	forget := reread(g.file, &g.rules, g.drainer.Budget, g.drainer.Logger)
	return ctx, func() {
		forget()
		stop()
	}
}

func (g *graceful) wrap(next http.Handler) http.Handler { return middleware.Graceful(g.drainer)(next) }

func (g *graceful) readiness() http.Handler { return g.drainer.Readiness() }

func (g *graceful) open() int { return g.drainer.Report().Open.All() }

func (g *graceful) run(ctx context.Context, srv *http.Server, serve func() error) error {
	if g.screen.live {
		shown, stop := context.WithCancel(context.Background())
		var line sync.WaitGroup
		line.Go(func() { showProgress(shown, g.drainer, g.screen) })
		defer line.Wait()
		defer stop()
	}
	return g.drainer.Run(ctx, srv, serve)
}

func (g *graceful) summary() summary {
	r := g.drainer.Report()
	found := r.Found
	return summary{
		by:    "lastcall",
		took:  r.Took,
		ended: int(r.Completed + r.Told + r.Unanswered + r.Cancelled + r.Cut),
		cut:   int(r.Cut),
		rows: []row{
			{"found", found.All(), fmt.Sprintf("finite %d, sse %d, websocket %d, other %d",
				found.Finite, found.SSE, found.WebSocket, found.Other)},
			{"completed", int(r.Completed), "by themselves"},
			{"told", int(r.Told), "farewell written, ended in order"},
			{"unanswered", int(r.Unanswered), "farewell written, the WebSocket's peer didn't answer"},
			{"cancelled", int(r.Cancelled), "by their context, without a farewell"},
			{"cut", int(r.Cut), "by force"},
			{"refused", int(r.Refused), "came too late"},
		},
	}
}
