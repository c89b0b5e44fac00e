package main

import (
	"net/http"
	"testing"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/middleware/draintest"
)

func TestDrain(t *testing.T) {
	draintest.Drill(t, func(t testing.TB, d *middleware.Drainer) http.Handler {
		return routes() // and d.Policy and d.Budget, where main sets them
	}, "GET /clock")
}
