//go:build unix

package metrics_test

import (
	"bufio"
	"context"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/middleware/metrics/otelmetrics"
	"github.com/lastcall-go/lastcall/middleware/metrics/prommetrics"
	"github.com/lastcall-go/lastcall/middleware/status"
)

// Under the race detector no more than 8,128 goroutines may run.
var streams = flag.Int("streams", 2000, "how many streams the tests of costs hold open")

// silence is an event stream without events.
func silence(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// A server serves streams over a network in memory, perhaps with all that looks on.
type server struct {
	d       *middleware.Drainer
	clients sync.WaitGroup
	looked  sync.WaitGroup // until whoever looks on has looked three times
	ends    func()         // what looks on
	close   func()
	network *memnet.Network
}

func newServer(tb testing.TB, watched bool) *server {
	s := &server{d: &middleware.Drainer{}, ends: func() {}, network: memnet.New()}
	var look []func(context.Context)
	if watched {
		s.looked.Add(2)
		reg := prometheus.NewRegistry()
		reg.MustRegister(prommetrics.New(s.d))
		page, scrape := status.Handler(s.d), promhttp.HandlerFor(reg, promhttp.HandlerOpts{})
		every := func(h http.Handler, accept string) func(context.Context) {
			return func(ctx context.Context) {
				for tick, n := time.NewTicker(100*time.Millisecond), 0; ctx.Err() == nil; n++ {
					if n == 3 {
						s.looked.Done()
					}
					r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
					r.Header.Set("Accept", accept)
					h.ServeHTTP(httptest.NewRecorder(), r)
					select {
					case <-tick.C:
					case <-ctx.Done():
						tick.Stop()
					}
				}
			}
		}
		look = []func(context.Context){
			every(page, "text/html"), every(scrape, "text/plain"), // these two call looked.Done
			func(ctx context.Context) {
				for range s.d.Watch(ctx) {
				}
			},
		}
	}
	srv := &http.Server{Handler: middleware.Graceful(s.d)(http.HandlerFunc(silence)), ConnContext: s.d.ConnContext}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(s.network) }()
	for range *streams {
		s.open(tb)
	}
	ctx, stop := context.WithCancel(context.Background())
	var looking sync.WaitGroup
	for _, f := range look {
		looking.Go(func() { f(ctx) })
	}
	s.ends = func() { stop(); looking.Wait() }
	s.close = func() {
		s.ends()
		_ = srv.Close()
		<-served
		s.clients.Wait()
	}
	return s
}

// open opens a stream and follows it to its end.
func (s *server) open(tb testing.TB) {
	conn, err := s.network.Dial(context.Background(), "", "")
	require.NoError(tb, err)
	_, err = io.WriteString(conn, "GET /rooms HTTP/1.1\r\nHost: memory\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\nUser-Agent: EventSource\r\n\r\n")
	require.NoError(tb, err)
	res, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil)
	require.NoError(tb, err)
	s.clients.Go(func() {
		_, _ = io.Copy(io.Discard, res.Body)
		_ = conn.Close()
	})
}

// drain returns how long it takes until every client has seen its end.
func (s *server) drain(tb testing.TB) time.Duration {
	began := time.Now()
	require.NoError(tb, s.d.Shutdown(context.Background()))
	s.clients.Wait()
	return time.Since(began)
}

// Idle streams cost no goroutine and under 100 bytes more each where a watcher, the page and a
// scrape look on.
func TestIdleStreams(t *testing.T) {
	measure := func(watched bool) (heap, goroutines float64) {
		s := newServer(t, watched)
		defer s.close()
		s.looked.Wait()
		s.ends() // the goroutines that look are no stream's
		runtime.GC()
		runtime.GC() // the first leaves what sync.Pools hold
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		each := float64(*streams)
		return float64(m.HeapAlloc) / each, float64(runtime.NumGoroutine()) / each
	}
	measure(true) // pays for what is made once
	heap, goroutines := measure(false)
	watchedHeap, watchedGoroutines := measure(true)
	t.Logf("%d streams: %.0f bytes and %.4f goroutines more each", *streams, watchedHeap-heap, watchedGoroutines-goroutines)
	assert.Less(t, watchedHeap-heap, 100.0, "bytes for each")
	assert.Less(t, watchedGoroutines-goroutines, 0.01, "goroutines for each")
}

// BenchmarkDrain compares drains of which prommetrics counts the ends, with a watcher, the page and
// a scrape every 100 ms, with drains without any of these, in turn:
//
//	go test -run '^$' -bench Drain -benchtime 20x -streams 10000
//
// ratio is how long one without takes, over one with; cpu-ratio is the same of the CPU time of
// servers and clients, which other processes disturb less.
func BenchmarkDrain(b *testing.B) {
	var ratios, cpuRatios, took []float64
	for round := 0; b.Loop(); round++ {
		var times, cpu [2]float64
		for _, watched := range [][]bool{{false, true}, {true, false}}[round%2] {
			s := newServer(b, watched)
			runtime.GC()
			i := 0
			if watched {
				i = 1
			}
			before := cpuTime()
			times[i] = s.drain(b).Seconds()
			cpu[i] = (cpuTime() - before).Seconds()
			s.close()
		}
		ratios, cpuRatios, took = append(ratios, times[0]/times[1]), append(cpuRatios, cpu[0]/cpu[1]), append(took, times[1])
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(median(cpuRatios), "cpu-ratio")
	b.ReportMetric(median(took), "s/drain")
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(of []float64) float64 {
	slices.Sort(of)
	return (of[(len(of)-1)/2] + of[len(of)/2]) / 2
}

// BenchmarkResponse measures what a plain response costs with each of the packages, and without.
func BenchmarkResponse(b *testing.B) {
	for _, name := range []string{"bare", "prommetrics", "otelmetrics"} {
		b.Run(name, func(b *testing.B) {
			d := &middleware.Drainer{}
			switch {
			case strings.HasPrefix(name, "prom"):
				prommetrics.New(d)
			case strings.HasPrefix(name, "otel"):
				_, err := otelmetrics.Register(d, sdk.NewMeterProvider(sdk.WithReader(sdk.NewManualReader())))
				require.NoError(b, err)
			}
			mux := http.NewServeMux()
			mux.HandleFunc("GET /rooms/{id}", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("hello")) })
			h, r := middleware.Graceful(d)(mux), httptest.NewRequest("GET", "/rooms/7", nil)
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
}
