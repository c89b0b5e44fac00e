package main

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/middleware/draintest"
)

func TestDrain(t *testing.T) {
	draintest.Drill(t, func(t testing.TB, d *middleware.Drainer) http.Handler {
		g := &graceful{drainer: d, screen: &screen{}}
		require.NoError(t, g.rules.Store(rules(), d.Budget))
		d.Policy = &g.rules
		board := newDashboard(func() int { return d.Report().Open.All() })
		t.Cleanup(func() { assert.NoError(t, board.close(context.Background())) })
		return routes(g, newChat(newHistory(quiet)), board)
	},
		"/ws\n\nhello\nworld",
		"/events?stream=metrics",
		"/answer",
		"/download",
		"/download?chunked=1",
		"/poll",
	)
}
