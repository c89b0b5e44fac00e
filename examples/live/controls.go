package main

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/lastcall-go/lastcall/middleware"
	operators "github.com/lastcall-go/lastcall/middleware/status"
	"github.com/lastcall-go/lastcall/policy"
)

// controls serves how the drain stands, and what can be done to the server while it runs. It is not
// part of what is drained. A server that is more than a demonstration would have this on a port of
// its own, and ask who it is that wants it: see Control in middleware/status.
func (g *graceful) controls(mux *http.ServeMux) {
	mux.Handle("GET /drain", operators.Handler(g.drainer))
	sameOrigin := http.NewCrossOriginProtection() // no other site's page may do this
	post := func(path string, h http.HandlerFunc) { mux.Handle("POST /operator/"+path, sameOrigin.Handler(h)) }
	post("shed", g.shed)
	post("drain", func(w http.ResponseWriter, _ *http.Request) {
		g.drainer.Drain()
		fmt.Fprintln(w, "The drain has begun. It can be taken back.")
	})
	post("resume", func(w http.ResponseWriter, _ *http.Request) {
		if err := g.drainer.Resume(); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		fmt.Fprintln(w, "The server serves again.")
	})
}

// shed tells half of the streams to come back, over two seconds.
func (g *graceful) shed(w http.ResponseWriter, r *http.Request) {
	shed, err := g.drainer.Shed(r.Context(), middleware.ShedOptions{Fraction: 0.5, Rule: policy.Rule{Spread: 2 * time.Second}})
	if errors.Is(err, middleware.ErrDrainBegun) {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	if err != nil { // the client has gone
		return
	}
	fmt.Fprintf(w, "%d picked: %d told, %d unanswered, %d cut\n", shed.Picked, shed.Told, shed.Unanswered, shed.Cut)
}
