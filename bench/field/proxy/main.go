// Command proxy is net/http's ReverseProxy with lastcall as docs/recipes.md has it, within 10 s.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

func main() {
	backend, err := url.Parse("http://" + os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	d := &middleware.Drainer{Budget: policy.Budget{Total: 10 * time.Second}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(backend)
			r.SetXForwarded()
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if errors.Is(context.Cause(r.Context()), stream.ErrDraining) {
				return // before the backend's answer: it becomes a 503 with Retry-After
			}
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	srv := &http.Server{Addr: os.Args[1], Handler: middleware.Graceful(d)(proxy)}
	ctx, stop := middleware.NotifyContext(context.Background(), d)
	defer stop()
	if err := d.Run(ctx, srv, srv.ListenAndServe); err != nil {
		log.Fatal(err)
	}
}
