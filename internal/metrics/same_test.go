package metrics_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sort"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/middleware/metrics/otelmetrics"
	"github.com/lastcall-go/lastcall/middleware/metrics/prommetrics"
	"github.com/lastcall-go/lastcall/policy"
)

// observed calls check with what the two packages show of one Drainer, while it drains and behind
// that. The drain has told, canceled, cut and refused.
func observed(t *testing.T, check func(t *testing.T, prom, otel prometheus.Gatherer)) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Mercy: time.Second}, Budget: policy.Budget{Total: 10 * time.Second}}
		prom := prometheus.NewPedanticRegistry()
		prom.MustRegister(prommetrics.New(d))
		otel := prometheus.NewRegistry()
		exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(otel))
		require.NoError(t, err)
		provider := sdk.NewMeterProvider(sdk.WithReader(exporter))
		_, err = otelmetrics.Register(d, provider)
		require.NoError(t, err)

		mux := http.NewServeMux()
		mux.HandleFunc("GET /rooms/{id}", func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(200 * time.Millisecond)
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = w.Write([]byte("data: hello\n\n"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		})
		mux.HandleFunc("/stuck/{$}", func(http.ResponseWriter, *http.Request) { time.Sleep(time.Minute) })
		mux.HandleFunc("POST example.com/canceled", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		h := middleware.Graceful(d)(mux)
		send := func(method, target string) {
			go func() {
				defer func() { _ = recover() }() // it is broken off
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, target, nil))
			}()
			synctest.Wait()
		}
		for n := range 3 {
			send("GET", fmt.Sprintf("/rooms/%d", n))
		}
		send("GET", "/stuck/")
		send("POST", "http://example.com/canceled")
		send("GET", "/nowhere")
		time.Sleep(2 * time.Second)
		_, err = d.Shed(t.Context(), middleware.ShedOptions{N: 1})
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		check(t, prom, otel)
		d.Start()
		synctest.Wait()
		send("GET", "/rooms/late")
		check(t, prom, otel)
		require.Error(t, d.Shutdown(t.Context()), "the stuck handler")
		check(t, prom, otel)
		require.NoError(t, provider.Shutdown(t.Context()))
		time.Sleep(time.Minute)
	})
}

// text returns what a registry has, a line for each series, without the scope that OpenTelemetry's
// exporter adds.
func text(t *testing.T, g prometheus.Gatherer) string {
	t.Helper()
	families, err := g.Gather()
	require.NoError(t, err)
	var lines []string
	for _, f := range families {
		if f.GetName() == "target_info" || f.GetName() == "otel_scope_info" {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s %s %s", f.GetName(), f.GetType(), f.GetHelp()))
		for _, m := range f.Metric {
			value := fmt.Sprint(m.GetGauge().GetValue() + m.GetCounter().GetValue())
			if h := m.GetHistogram(); h != nil {
				value = fmt.Sprintf("%d %.6f", h.GetSampleCount(), h.GetSampleSum())
				for _, b := range h.Bucket {
					value += fmt.Sprintf(" %v:%d", b.GetUpperBound(), b.GetCumulativeCount())
				}
			}
			lines = append(lines, f.GetName()+"{"+strings.Join(labelsOf(m), ",")+"} "+value)
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func labelsOf(m *dto.Metric) (all []string) {
	for _, l := range m.Label {
		if l.GetValue() != "" && !strings.HasPrefix(l.GetName(), "otel_scope_") {
			all = append(all, l.GetName()+"="+l.GetValue())
		}
	}
	return all
}

// Through OpenTelemetry's exporter for Prometheus otelmetrics shows what prommetrics does: names,
// labels, help, buckets and values.
func TestBothShowTheSame(t *testing.T) {
	checked := 0
	observed(t, func(t *testing.T, prom, otel prometheus.Gatherer) {
		assert.Equal(t, text(t, prom), text(t, otel))
		checked++
		problems, err := testutil.GatherAndLint(prom)
		require.NoError(t, err)
		assert.Empty(t, problems)
	})
	assert.Equal(t, 3, checked)
}

// metricsAndLabels returns the labels of each metric that Prometheus stores.
func metricsAndLabels(t *testing.T) map[string]map[string]bool {
	known := map[string]map[string]bool{}
	observed(t, func(t *testing.T, prom, _ prometheus.Gatherer) {
		families, err := prom.Gather()
		require.NoError(t, err)
		for _, f := range families {
			name := f.GetName()
			if f.GetType() == dto.MetricType_HISTOGRAM {
				name += "_bucket"
			}
			if known[name] == nil {
				known[name] = map[string]bool{"__name__": true, "job": true, "instance": true}
			}
			for _, m := range f.Metric {
				for _, l := range m.Label {
					known[name][l.GetName()] = true
				}
			}
		}
	})
	return known
}
