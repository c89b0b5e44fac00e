package otelmetrics_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/middleware/metrics/otelmetrics"
)

// run serves until ctx ends, and sends what the drain did last.
func run(ctx context.Context, provider *sdk.MeterProvider, srv *http.Server, mux *http.ServeMux) error {
	d := &middleware.Drainer{}
	if _, err := otelmetrics.Register(d, provider); err != nil { // before Graceful
		return err
	}
	srv.Handler = middleware.Graceful(d)(mux)
	err := d.Run(ctx, srv, srv.ListenAndServe)
	return errors.Join(err, provider.Shutdown(context.Background()))
}

// An exporter keeps the names of what it was given last.
type exporter struct {
	sdk.Exporter
	names []string
}

func (*exporter) Temporality(k sdk.InstrumentKind) metricdata.Temporality {
	return sdk.DefaultTemporalitySelector(k)
}
func (*exporter) Aggregation(k sdk.InstrumentKind) sdk.Aggregation {
	return sdk.DefaultAggregationSelector(k)
}
func (*exporter) ForceFlush(context.Context) error { return nil }
func (*exporter) Shutdown(context.Context) error   { return nil }

func (e *exporter) Export(_ context.Context, all *metricdata.ResourceMetrics) error {
	e.names = nil
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			e.names = append(e.names, m.Name)
		}
	}
	return nil
}

func TestTheLastCountsAreSent(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	sent := new(exporter)
	provider := sdk.NewMeterProvider(sdk.WithReader(sdk.NewPeriodicReader(sent, sdk.WithInterval(time.Hour))))
	require.NoError(t, run(ctx, provider, &http.Server{Addr: "127.0.0.1:0"}, http.NewServeMux()))
	assert.Contains(t, sent.names, "lastcall.drain.start.timestamp")
}
