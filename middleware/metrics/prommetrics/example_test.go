package prommetrics_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/push"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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

// run serves until ctx ends, and pushes what the drain did last.
func run(ctx context.Context, gateway string, srv *http.Server, mux *http.ServeMux) error {
	d := &middleware.Drainer{}
	collector := prommetrics.New(d)
	srv.Handler = middleware.Graceful(d)(mux)
	err := d.Run(ctx, srv, srv.ListenAndServe)
	pushed := push.New(gateway, "shop").Grouping("instance", "shop-7").Collector(collector).Push()
	return errors.Join(err, pushed)
}

func TestTheLastCountsArePushed(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var pushed []byte
	gateway := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { pushed, _ = io.ReadAll(r.Body) }))
	defer gateway.Close()
	require.NoError(t, run(ctx, gateway.URL, &http.Server{Addr: "127.0.0.1:0"}, http.NewServeMux()))
	assert.Contains(t, string(pushed), "lastcall_drain_start_timestamp_seconds")
	http.DefaultClient.CloseIdleConnections()
}
