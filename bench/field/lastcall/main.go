// Command lastcall serves the routes with net/http and lastcall, within 10 s.
package main

import (
	"context"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/lastcall-go/lastcall/bench/field/routes"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

func main() {
	d := &middleware.Drainer{Budget: policy.Budget{Total: 10 * time.Second}}
	srv := &http.Server{Addr: os.Args[1], Handler: middleware.Graceful(d)(routes.Handler())}
	ctx, stop := middleware.NotifyContext(context.Background(), d)
	defer stop()
	if err := d.Run(ctx, srv, srv.ListenAndServe); err != nil {
		log.Fatal(err)
	}
}
