package main

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// operate serves what can be done to the server while it goes on. It stands outside of what is drained, and a server that
// is more than a demonstration would ask who it is that wants it.
func (g *graceful) operate(mux *http.ServeMux) {
	own := http.NewCrossOriginProtection() // no other page may do this to whoever runs the example
	post := func(path string, h http.HandlerFunc) { mux.Handle("POST /operator/"+path, own.Handler(h)) }
	post("shed", g.shed)
	post("drain", func(w http.ResponseWriter, _ *http.Request) {
		g.drainer.Drain()
		fmt.Fprintln(w, "draining; it can be taken back")
	})
	post("resume", func(w http.ResponseWriter, _ *http.Request) {
		if err := g.drainer.Resume(); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		fmt.Fprintln(w, "serving")
	})
}

// shed says goodbye to half of the streams, over two seconds.
func (g *graceful) shed(w http.ResponseWriter, r *http.Request) {
	shed, err := g.drainer.Shed(r.Context(), middleware.Share{Fraction: 0.5, Rule: policy.Rule{Spread: 2 * time.Second}})
	if errors.Is(err, middleware.ErrDrainBegun) {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	if err != nil { // who asked has left
		return
	}
	fmt.Fprintf(w, "%d picked: %d told, %d unanswered, %d cut\n", shed.Picked, shed.Told, shed.Unanswered, shed.Cut)
}
