package prommetrics_test

import (
	"context"
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/push"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/middleware/metrics/prommetrics"
)

func Example() {
	d := &middleware.Drainer{}
	prometheus.MustRegister(prommetrics.New(d)) // before Graceful

	admin := http.NewServeMux() // on a port that no client can reach, and outside of Graceful
	admin.Handle("GET /metrics", promhttp.Handler())
	go func() { _ = http.ListenAndServe("localhost:9000", admin) }()

	ctx, stop := middleware.NotifyContext(context.Background(), d)
	defer stop()
	srv := &http.Server{Addr: ":8080", Handler: middleware.Graceful(d)(http.DefaultServeMux)}
	_ = d.Run(ctx, srv, srv.ListenAndServe)
}

// What a drain did last is known when no scrape comes any more: it is pushed.
func ExampleNew_push() {
	_ = func(ctx context.Context, d *middleware.Drainer, srv *http.Server) error {
		collector := prommetrics.New(d)
		err := d.Run(ctx, srv, srv.ListenAndServe)
		pushed := push.New("http://pushgateway:9091", "shop").Grouping("instance", "shop-7").Collector(collector).Push()
		return errors.Join(err, pushed)
	}
}
