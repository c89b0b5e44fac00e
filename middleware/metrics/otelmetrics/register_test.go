package otelmetrics_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/middleware/metrics/otelmetrics"
	"github.com/lastcall-go/lastcall/policy"
)

// collect returns the values of all instruments, by name and attributes; of a histogram its count
// and its sum.
func collect(t *testing.T, reader sdk.Reader) map[string]float64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	values := map[string]float64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			key := func(a attribute.Set) string { return m.Name + " " + a.Encoded(attribute.DefaultEncoder()) }
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					values[key(p.Attributes)] = float64(p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					values[key(p.Attributes)] = float64(p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					values[key(p.Attributes)] = p.Value
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					values[key(p.Attributes)+" count"], values[key(p.Attributes)+" sum"] = float64(p.Count), p.Sum
				}
			default:
				t.Fatalf("%s is a %T", m.Name, data)
			}
		}
	}
	return values
}

// sum returns the sum of the values of an instrument whose attributes have one.
func sum(values map[string]float64, name, attr string) (n uint64) {
	for key, value := range values {
		if strings.HasPrefix(key, name+" ") && strings.Contains(key, attr) {
			n += uint64(value)
		}
	}
	return n
}

// A drain of a real server: what is collected before, during and behind it.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader := sdk.NewManualReader()
		provider := sdk.NewMeterProvider(sdk.WithReader(reader))
		var chained atomic.Int32
		d := &middleware.Drainer{Observe: func(middleware.Observation) { chained.Add(1) }, Policy: policy.Rule{Mercy: time.Second},
			Budget: policy.Budget{Total: 10 * time.Second}}
		unregister, err := otelmetrics.Register(d, provider)
		require.NoError(t, err)
		mux := http.NewServeMux()
		mux.HandleFunc("GET /rooms/{id}", func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(200 * time.Millisecond)
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "data: hello\n\n")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		mux.HandleFunc("/stuck", func(http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) })
		network := memnet.New()
		client := &http.Client{Transport: &http.Transport{DialContext: network.Dial}}
		srv, ran := &http.Server{Handler: middleware.Graceful(d)(mux)}, make(chan error, 1)
		ctx, stop := context.WithCancel(t.Context())
		go func() { ran <- d.Run(ctx, srv, func() error { return srv.Serve(network) }) }()
		send := func(path string) {
			req, err := http.NewRequest(http.MethodGet, "http://memory"+path, nil)
			require.NoError(t, err)
			for name, value := range map[string]string{"Accept": "text/event-stream", "Cache-Control": "no-cache", "User-Agent": "EventSource"} {
				req.Header.Set(name, value)
			}
			go func() {
				if res, err := client.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
				}
			}()
			synctest.Wait()
		}
		for n := range 3 {
			send(fmt.Sprintf("/rooms/%d", n))
		}
		send("/stuck")
		time.Sleep(2 * time.Second)
		const rooms = "http.request.method=GET,http.route=/rooms/{id},lastcall.format=sse,lastcall.kind=infinite"
		const stuck = "http.route=/stuck,lastcall.format=http,lastcall.kind=finite"
		values := collect(t, reader)
		assert.Equal(t, 3.0, values["http.server.active_requests "+rooms])
		assert.Equal(t, 1.0, values["http.server.active_requests "+stuck])
		assert.Equal(t, 3.0, values["lastcall.time_to_first_byte "+rooms+" count"], "before they end")
		assert.InDelta(t, 0.6, values["lastcall.time_to_first_byte "+rooms+" sum"], 1e-9)
		assert.Equal(t, 1.0, values["lastcall.drain.phase lastcall.phase=serving"])
		assert.Contains(t, values, "lastcall.farewells lastcall.reason=shed")
		assert.NotContains(t, values, "lastcall.drain.start.timestamp ")

		began := time.Now()
		stop()
		<-d.Draining()
		synctest.Wait()
		send("/rooms/late")
		values = collect(t, reader)
		assert.Zero(t, values["lastcall.drain.phase lastcall.phase=serving"])
		assert.InDelta(t, float64(began.UnixMilli())/1e3, values["lastcall.drain.start.timestamp "], 0.01)
		assert.InDelta(t, float64(began.UnixMilli())/1e3+10, values["lastcall.drain.deadline.timestamp "], 0.01)
		assert.Error(t, <-ran, "the stuck handler")

		values, report := collect(t, reader), d.Report()
		assert.Equal(t, 1.0, values["lastcall.drain.phase lastcall.phase=done"])
		assert.Equal(t, 3.0, values["lastcall.stream.duration "+rooms+",lastcall.status=app_shutdown count"])
		assert.Equal(t, 1.0, values["lastcall.response.duration "+stuck+",lastcall.status=timeout count"])
		for outcome, n := range map[string]uint64{"completed": report.Completed, "told": report.Told, "cut": report.Cut,
			"canceled": report.Canceled, "refused": report.Refused} {
			assert.Equal(t, n, sum(values, "lastcall.responses", "lastcall.outcome="+outcome), outcome)
		}
		assert.Equal(t, report.Outcomes.All(), sum(values, "lastcall.responses", ""))
		assert.Equal(t, report.Late, sum(values, "lastcall.late_requests", ""))
		assert.Equal(t, report.Told, sum(values, "lastcall.farewells", "lastcall.reason=drain"))
		assert.EqualValues(t, 3+5, chained.Load(), "first bytes and ends")

		require.NoError(t, unregister())
		values = collect(t, reader)
		assert.NotContains(t, values, "lastcall.drain.phase lastcall.phase=done")
		assert.Equal(t, report.Outcomes.All(), sum(values, "lastcall.responses", ""))
		require.NoError(t, provider.Shutdown(t.Context()))
		client.CloseIdleConnections()
		time.Sleep(time.Minute)
	})
}

// 10,000 different paths are one route, and a router that makes up patterns has no more than 500.
func TestAttributeCardinality(t *testing.T) {
	for name, test := range map[string]struct {
		pattern func(n int) string
		routes  int
	}{
		"paths under a pattern": {func(int) string { return "GET /rooms/{id}" }, 1},
		"paths without any":     {func(int) string { return "" }, 1},
		"patterns made up":      {func(n int) string { return fmt.Sprintf("GET /rooms/%d", n) }, 501},
	} {
		t.Run(name, func(t *testing.T) {
			d, reader := new(middleware.Drainer), sdk.NewManualReader()
			_, err := otelmetrics.Register(d, sdk.NewMeterProvider(sdk.WithReader(reader)))
			require.NoError(t, err)
			h := middleware.Graceful(d)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			for n := range 10_000 {
				r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/rooms/%d?secret=%d", n, n), nil)
				r.Pattern = test.pattern(n)
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
			values := collect(t, reader)
			assert.Equal(t, uint64(10_000), sum(values, "lastcall.responses", ""), "all are counted")
			sets := map[string]int{}
			for key := range values {
				name, _, _ := strings.Cut(key, " ")
				sets[name]++
			}
			assert.Equal(t, test.routes, sets["lastcall.responses"])
			assert.Equal(t, 2*test.routes, sets["lastcall.response.duration"], "with count and sum")
			assert.Equal(t, 2*test.routes, sets["lastcall.time_to_first_byte"], "with count and sum")
		})
	}
}

var errNoMeter = errors.New("no instruments today")

type failing struct{ noop.MeterProvider }

func (failing) Meter(string, ...metric.MeterOption) metric.Meter { return failingMeter{} }

type failingMeter struct{ noop.Meter }

func (failingMeter) Float64Histogram(string, ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return noop.Float64Histogram{}, errNoMeter
}

func TestRegisterFails(t *testing.T) {
	d := new(middleware.Drainer)
	_, err := otelmetrics.Register(d, failing{})
	assert.ErrorIs(t, err, errNoMeter)
	assert.Nil(t, d.Observe, "nothing is set")
	assert.Panics(t, func() { _, _ = otelmetrics.Register(nil, noop.MeterProvider{}) })
	assert.Panics(t, func() { _, _ = otelmetrics.Register(d, nil) })
}
