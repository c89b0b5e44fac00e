package prommetrics_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/middleware/metrics/prommetrics"
	"github.com/lastcall-go/lastcall/policy"
)

// site has an event stream, an answer that takes a second, and one that ignores its context.
func site() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rooms/{id}", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(200 * time.Millisecond)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: hello\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Second)
		_, _ = io.WriteString(w, "done")
	})
	mux.HandleFunc("POST example.com/stuck", func(w http.ResponseWriter, r *http.Request) { time.Sleep(time.Minute) })
	return mux
}

// A rig is a server under a Drainer on a network in memory.
type rig struct {
	t      *testing.T
	d      *middleware.Drainer
	client *http.Client
	stop   context.CancelFunc
	ran    chan error
}

func serve(t *testing.T, d *middleware.Drainer, h http.Handler) *rig {
	network := memnet.New()
	r := &rig{t: t, d: d, client: &http.Client{Transport: &http.Transport{DialContext: network.Dial}}, ran: make(chan error, 1)}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	srv := &http.Server{Handler: middleware.Graceful(d)(h)}
	go func() { r.ran <- d.Run(ctx, srv, func() error { return srv.Serve(network) }) }()
	return r
}

// send sends a request and reads the response to its end in the background.
func (r *rig) send(method, host, path string) {
	req, err := http.NewRequest(method, "http://"+host+path, nil)
	require.NoError(r.t, err)
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Cache-Control", "no-cache")
	req.Header.Set("User-Agent", "EventSource")
	go func() {
		res, err := r.client.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	}()
	synctest.Wait()
}

func (r *rig) end() error {
	r.stop()
	err := <-r.ran
	r.client.CloseIdleConnections()
	return err
}

// gather returns the values of a registry, by name and labels; of a histogram its count and its
// sum.
func gather(t *testing.T, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	require.NoError(t, err)
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			key := f.GetName() + labels(m)
			if h := m.GetHistogram(); h != nil {
				values[key+" count"], values[key+" sum"] = float64(h.GetSampleCount()), h.GetSampleSum()
			} else {
				values[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return values
}

// labels returns the labels that aren't empty.
func labels(m *dto.Metric) string {
	var all []string
	for _, l := range m.Label {
		if l.GetValue() != "" {
			all = append(all, l.GetName()+"="+l.GetValue())
		}
	}
	return "{" + strings.Join(all, ",") + "}"
}

// A drain of a real server: what is scraped before, during and behind it.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Mercy: time.Second, MaxAge: time.Hour}, Budget: policy.Budget{Total: 10 * time.Second}}
		var chained atomic.Int32
		d.Observe = func(middleware.Observation) { chained.Add(1) }
		reg := prometheus.NewPedanticRegistry()
		c := prommetrics.New(d)
		require.NoError(t, reg.Register(c))
		r := serve(t, d, site())

		assert.Equal(t, map[string]float64{
			"lastcall_drain_phase{lastcall_phase=serving}": 1, "lastcall_drain_phase{lastcall_phase=announcing}": 0,
			"lastcall_drain_phase{lastcall_phase=draining}": 0, "lastcall_drain_phase{lastcall_phase=canceling}": 0,
			"lastcall_drain_phase{lastcall_phase=cutting}": 0, "lastcall_drain_phase{lastcall_phase=done}": 0,
			"lastcall_farewells_total{lastcall_reason=drain}": 0, "lastcall_farewells_total{lastcall_reason=shed}": 0,
			"lastcall_farewells_total{lastcall_reason=age}": 0, "lastcall_late_requests_total{}": 0,
		}, gather(t, reg))

		for n := range 3 {
			r.send("GET", "memory", fmt.Sprintf("/rooms/%d", n))
		}
		r.send("GET", "memory", "/slow")
		r.send("POST", "example.com", "/stuck")
		time.Sleep(2 * time.Second)
		_, err := d.Shed(t.Context(), middleware.ShedOptions{N: 1})
		require.NoError(t, err)
		time.Sleep(5 * time.Second)
		const rooms, slow, stuck = "http_request_method=GET,http_route=/rooms/{id},lastcall_format=sse,lastcall_kind=infinite",
			"http_route=/slow,lastcall_format=http,lastcall_kind=finite",
			"http_request_method=POST,http_route=example.com/stuck,lastcall_format=http,lastcall_kind=finite"
		values := gather(t, reg)
		assert.Equal(t, 2.0, values["http_server_active_requests{"+rooms+"}"])
		assert.Equal(t, 1.0, values["http_server_active_requests{"+stuck+"}"])
		assert.NotContains(t, values, "http_server_active_requests{"+slow+"}")
		assert.Equal(t, 3.0, values["lastcall_time_to_first_byte_seconds{"+rooms+"} count"], "before they end")
		assert.InDelta(t, 3*0.2, values["lastcall_time_to_first_byte_seconds{"+rooms+"} sum"], 1e-9)
		assert.Equal(t, 1.0, values["lastcall_response_duration_seconds{"+slow+",lastcall_status=normal_closure} count"])
		assert.Equal(t, 1.0, values["lastcall_response_duration_seconds{"+slow+",lastcall_status=normal_closure} sum"])
		assert.Equal(t, 1.0, values["lastcall_stream_duration_seconds{"+rooms+",lastcall_status=shed} count"])
		assert.Equal(t, 1.0, values["lastcall_farewells_total{lastcall_reason=shed}"])

		began := time.Now()
		r.stop()
		<-d.Draining()
		synctest.Wait()
		r.send("GET", "memory", "/slow") // too late
		values = gather(t, reg)
		assert.Equal(t, 1.0, values["lastcall_drain_phase{lastcall_phase=draining}"]+values["lastcall_drain_phase{lastcall_phase=canceling}"])
		assert.Zero(t, values["lastcall_drain_phase{lastcall_phase=serving}"])
		assert.InDelta(t, seconds(began), values["lastcall_drain_start_timestamp_seconds{}"], 0.01)
		assert.InDelta(t, seconds(began.Add(10*time.Second)), values["lastcall_drain_deadline_timestamp_seconds{}"], 0.01)

		assert.Error(t, r.end(), "the stuck handler")
		values, report := gather(t, reg), d.Report()
		assert.Equal(t, 1.0, values["lastcall_drain_phase{lastcall_phase=done}"])
		assert.NotContains(t, values, "lastcall_drain_deadline_timestamp_seconds{}")
		assert.Equal(t, 2.0, values["lastcall_stream_duration_seconds{"+rooms+",lastcall_status=app_shutdown} count"])
		assert.Equal(t, 1.0, values["lastcall_response_duration_seconds{"+stuck+",lastcall_status=timeout} count"])
		assert.Equal(t, 2.0, values["lastcall_farewells_total{lastcall_reason=drain}"])
		requireAsReported(t, report, values)
		problems, err := testutil.GatherAndLint(reg)
		require.NoError(t, err)
		assert.Empty(t, problems)
		time.Sleep(time.Hour) // the stuck handler returns, and is not counted again
		assert.Equal(t, values, gather(t, reg))
		assert.EqualValues(t, 4+6, chained.Load(), "first bytes and ends")
	})
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }

// requireAsReported requires that the counters are what the report says.
func requireAsReported(t *testing.T, report middleware.Report, values map[string]float64) {
	t.Helper()
	sum := func(prefix, label string) (n uint64) {
		for _, key := range slices.Collect(maps.Keys(values)) {
			if strings.HasPrefix(key, prefix+"{") && strings.Contains(key, label) {
				n += uint64(values[key])
			}
		}
		return n
	}
	all := map[string][2]uint64{
		"completed": {report.Before.Completed, report.Completed}, "told": {report.Before.Told, report.Told}, "cut": {report.Before.Cut, report.Cut},
		"canceled": {report.Before.Canceled, report.Canceled}, "refused": {report.Before.Refused, report.Refused},
	}
	for outcome, n := range all {
		require.Equal(t, n[0]+n[1], sum("lastcall_responses_total", "lastcall_outcome="+outcome), outcome)
	}
	require.Equal(t, report.Late, sum("lastcall_late_requests_total", ""))
	require.Equal(t, report.Before.All()+report.Outcomes.All(), sum("lastcall_responses_total", ""))
	open := 0
	for _, g := range report.Groups {
		open += g.Open
	}
	require.EqualValues(t, open, sum("http_server_active_requests", ""))
}

// 10,000 different paths are one route, and a router that makes up patterns has no more than 500.
func TestLabelCardinality(t *testing.T) {
	for name, test := range map[string]struct {
		pattern func(n int) string
		routes  int
	}{
		"paths under a pattern": {func(int) string { return "GET /rooms/{id}" }, 1},
		"paths without any":     {func(int) string { return "" }, 1},
		"patterns made up":      {func(n int) string { return fmt.Sprintf("GET /rooms/%d", n) }, 501},
	} {
		t.Run(name, func(t *testing.T) {
			d := new(middleware.Drainer)
			reg := prometheus.NewPedanticRegistry()
			reg.MustRegister(prommetrics.New(d))
			h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
			for n := range 10_000 {
				r := httptest.NewRequest("GET", fmt.Sprintf("/rooms/%d?secret=%d", n, n), nil)
				r.Pattern = test.pattern(n)
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
			for _, metric := range []string{"lastcall_responses_total", "lastcall_response_duration_seconds", "lastcall_time_to_first_byte_seconds"} {
				n, err := testutil.GatherAndCount(reg, metric)
				require.NoError(t, err)
				assert.Equal(t, test.routes, n, metric)
			}
			assert.Equal(t, 10_000.0, func() (n float64) {
				for key, value := range gather(t, reg) {
					if strings.HasPrefix(key, "lastcall_responses_total") {
						n += value
					}
				}
				return n
			}(), "all are counted")
		})
	}
}

func TestNewWithoutADrainer(t *testing.T) {
	assert.PanicsWithValue(t, "prommetrics: New was given a nil *middleware.Drainer; give it &middleware.Drainer{}", func() { prommetrics.New(nil) })
}
