// Command quickstart is the smallest program that shuts down well: open http://localhost:8080/clock
// and press Ctrl-C.
//
// With a clock open that takes 250 ms, the default from a stream's last event to its cancel. With
// the Drainer's Policy set to policy.Rule{Timeout: policy.AtOnce} it takes none.
package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"time"

	"github.com/lastcall-go/lastcall/middleware"
)

func main() {
	d := &middleware.Drainer{Logger: slog.Default()}
	srv := &http.Server{Addr: ":8080", Handler: middleware.Graceful(d)(routes())}
	ctx, stop := middleware.NotifyContext(context.Background(), d)
	defer stop()
	if err := d.Run(ctx, srv, srv.ListenAndServe); err != nil {
		log.Fatal(err)
	}
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /clock", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		tick := time.Tick(time.Second)
		for r.Context().Err() == nil {
			fmt.Fprintf(w, "data: %s\n\n", time.Now().Format(time.TimeOnly))
			http.NewResponseController(w).Flush()
			select {
			case <-tick:
			case <-r.Context().Done():
			}
		}
	})
	return mux
}
