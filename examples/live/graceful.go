package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// A graceful lifecycle ends the server with lastcall's drain.
type graceful struct {
	drainer  *middleware.Drainer
	screen   *screen
	rules    policy.Swap
	file     string      // that rules are read from; empty: none
	stopping atomic.Bool // the process ends with the drain
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
	ignore := reread(g.file, &g.rules, g.drainer.Budget, g.drainer.Logger)
	return ctx, func() {
		ignore()
		stop()
	}
}

func (g *graceful) secondSignal() string { return "cut what is still open" }

func (g *graceful) wrap(h http.Handler) http.Handler { return middleware.Graceful(g.drainer)(h) }

func (g *graceful) readiness() http.Handler { return g.drainer.Readiness() }

func (g *graceful) run(ctx context.Context, srv *http.Server, serve func() error) error {
	defer context.AfterFunc(ctx, func() { g.stopping.Store(true) })()
	if g.screen.live {
		shown, stop := context.WithCancel(context.Background())
		var line sync.WaitGroup
		line.Go(func() { showProgress(shown, g.drainer.Draining, g.status, g.screen) })
		defer line.Wait()
		defer stop()
	}
	return g.drainer.Run(ctx, srv, serve)
}

func (g *graceful) status() status {
	r := g.drainer.Report()
	s := status{
		By:      "lastcall",
		Started: started,
		Phase:   string(r.Phase),
		Final:   g.stopping.Load(),
		Budget:  g.drainer.Budget.WithDefaults().Total.Milliseconds(),
		Found:   kindsOf(r.Found),
		Open:    kindsOf(r.Open),
	}
	if s.Left = s.Budget; !r.Began.IsZero() {
		s.Left = max(0, s.Budget-time.Since(r.Began).Milliseconds())
	}
	for _, o := range outcomes(r) {
		s.Ended = append(s.Ended, outcomeCount{o.what, o.count})
	}
	return s
}

func (g *graceful) summary() summary {
	r := g.drainer.Report()
	found := kindsOf(r.Found)
	return summary{
		by:    "lastcall",
		took:  r.Took,
		ended: int(r.Completed + r.Told + r.Unanswered + r.Canceled + r.Cut),
		cut:   int(r.Cut),
		rows: append([]row{{"found", found.all(), fmt.Sprintf("finite %d, sse %d, websocket %d, other %d",
			found.Finite, found.SSE, found.WebSocket, found.Other)}}, outcomes(r)...),
		text: r.String(),
	}
}

func outcomes(r middleware.Report) []row {
	return []row{
		{"completed", int(r.Completed), "by themselves"},
		{"told", int(r.Told), "farewell written, ended in order"},
		{"unanswered", int(r.Unanswered), "farewell written, the WebSocket's peer didn't answer"},
		{"canceled", int(r.Canceled), "by their context, without a farewell"},
		{"cut", int(r.Cut), "by force"},
		{"refused", int(r.Refused), "came too late"},
	}
}

func kindsOf(t middleware.Tally) kinds {
	return kinds{Finite: t.Finite, SSE: t.SSE, WebSocket: t.WebSocket, Other: t.Other}
}
