package middleware_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// observations keeps what a Drainer's Observe was told, apart by whether the response had ended.
type observations struct {
	mu          sync.Mutex
	first, ends []middleware.Observation
}

func (o *observations) observe(ob middleware.Observation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if ob.Outcome == "" {
		o.first = append(o.first, ob)
	} else {
		o.ends = append(o.ends, ob)
	}
}

// of returns those of a route.
func of(route string, all []middleware.Observation) (found []middleware.Observation) {
	for _, ob := range all {
		if ob.Route == route {
			found = append(found, ob)
		}
	}
	return found
}

// requireAsReported requires that what was observed since the drain began is what the report says.
func requireAsReported(t *testing.T, report middleware.Report, ends []middleware.Observation) {
	t.Helper()
	observed, late, broken := map[string]uint64{}, uint64(0), uint64(0)
	for _, ob := range ends {
		observed[ob.Outcome]++
		if ob.Late {
			late++
		}
		if ob.Broken {
			broken++
		}
	}
	all := func(o middleware.Outcomes) map[string]uint64 {
		return map[string]uint64{"completed": o.Completed, "told": o.Told, "unanswered": o.Unanswered, "canceled": o.Canceled, "cut": o.Cut, "refused": o.Refused}
	}
	reported := all(report.Outcomes)
	for name, n := range all(report.Before) {
		if reported[name] += n; reported[name] == 0 {
			delete(reported, name)
		}
	}
	require.Equal(t, reported, observed)
	require.Equal(t, report.Late, late)
	require.Equal(t, report.Broken+report.Before.Broken, broken)
}

func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen observations
		d := &middleware.Drainer{Observe: seen.observe, Policy: policy.Func(func(r *http.Request) policy.Rule {
			if r.URL.Path == "/aged/1" {
				return policy.Rule{MaxAge: 10 * time.Second, Timeout: time.Second}
			}
			return policy.Rule{Mercy: time.Second}
		}), Budget: policy.Budget{Total: 8 * time.Second, Announce: time.Second, Reserve: time.Second}}
		mux := http.NewServeMux()
		mux.HandleFunc("GET /rooms/{id}", quiet)
		mux.HandleFunc("GET /aged/{id}", quiet)
		mux.HandleFunc("/ws", echo(&store{t: t}))
		mux.HandleFunc("/short", func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(300 * time.Millisecond)
			_, _ = io.WriteString(w, "short")
			time.Sleep(200 * time.Millisecond)
		})
		mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			_, _ = io.WriteString(w, strings.Repeat("x", 10_000))
			time.Sleep(time.Hour)
		})
		mux.HandleFunc("/silent", func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) })
		mux.HandleFunc("/with", func(w http.ResponseWriter, r *http.Request) {
			assert.NoError(t, d.Go(r.Context(), func(ctx context.Context) { <-ctx.Done() }))
		})
		r := serve(t, d, mux)

		assert.Equal(t, "short", (<-r.getAsync("/short")).body)
		assert.Empty(t, (<-r.getAsync("/silent")).body)
		assert.Empty(t, (<-r.getAsync("/with")).body)
		http1 := middleware.Observation{Kind: policy.Finite, Format: stream.HTTP, Age: 500 * time.Millisecond}
		short, silent := http1, http1
		short.Route, silent.Route, silent.Age = "/short", "/silent", time.Second
		assert.Equal(t, []middleware.Observation{short}, of("/short", seen.first), "when net/http sends it")
		assert.Equal(t, []middleware.Observation{silent}, of("/silent", seen.first))
		short.Outcome = "completed"
		assert.Equal(t, []middleware.Observation{short}, of("/short", seen.ends))

		left := r.open("/rooms/left")
		_, _ = io.ReadFull(left.Body, make([]byte, len(hello)))
		shed := r.watch("/rooms/1")
		aged := r.watch("/aged/1")
		socket := r.dial("/ws")
		_ = left.Body.Close()
		time.Sleep(time.Second)
		result, err := d.Shed(t.Context(), middleware.ShedOptions{N: 1, Match: func(r *stream.Response) bool { return r.Pattern() == "GET /rooms/{id}" }})
		require.NoError(t, err)
		require.Equal(t, uint64(1), result.Told)
		assert.True(t, (<-shed).told())
		assert.True(t, (<-aged).told())
		drained := r.watch("/rooms/2")
		long := r.getAsync("/long")
		time.Sleep(2 * time.Second)

		r.drain() // announces for a second
		assert.Equal(t, "short", (<-r.getAsync("/short")).body)
		time.Sleep(time.Second)
		assert.Equal(t, http.StatusServiceUnavailable, (<-r.getAsyncWith("/short")).StatusCode)
		_, _, err = socket.ReadMessage()
		assert.Error(t, err)
		assert.True(t, (<-drained).told())
		assert.Error(t, (<-long).err)
		_, err = r.end()
		assert.Error(t, err, "the handler of /long sleeps on")
		report := d.Report()
		requireBalanced(t, report)
		requireAsReported(t, report, seen.ends)

		var why []string
		for _, ob := range of("GET /rooms/{id}", seen.ends) {
			assert.Equal(t, ob.Reason != "", ob.Told)
			assert.Equal(t, policy.Infinite, ob.Kind)
			assert.Equal(t, stream.SSE, ob.Format)
			why = append(why, ob.Outcome+" "+ob.Reason)
		}
		assert.Equal(t, []string{"completed ", "told shed", "told drain"}, why)
		ends := of("GET /aged/{id}", seen.ends)
		require.Len(t, ends, 1)
		assert.Equal(t, "told age", ends[0].Outcome+" "+ends[0].Reason)
		ends = of("/ws", seen.ends)
		require.Len(t, ends, 1)
		assert.Equal(t, "told drain", ends[0].Outcome+" "+ends[0].Reason)
		ends = of("/long", seen.ends)
		require.Len(t, ends, 1)
		assert.Equal(t, "cut drain", ends[0].Outcome+" "+ends[0].Reason)
		assert.Equal(t, time.Second, of("/long", seen.first)[0].Age, "net/http can't hold it back")
		for _, ob := range append(of("GET /rooms/{id}", seen.first), of("/ws", seen.first)...) {
			assert.Zero(t, ob.Age, "at once, and not at its end")
		}
		tasks := 0
		for _, ob := range seen.ends {
			if ob.Format == stream.Task {
				tasks++
				assert.Equal(t, "canceled drain", ob.Outcome+" "+ob.Reason)
			}
		}
		assert.Equal(t, 1, tasks)
		assert.Len(t, seen.first, len(seen.ends)-1-int(report.Refused), "one for each, but for tasks and who was refused")
		time.Sleep(time.Hour)
		synctest.Wait()
		requireAsReported(t, report, seen.ends) // the handler of /long has returned and ends nothing a second time
	})
}

// A panic of Observe neither reaches the handler nor keeps the drain from its end.
func TestObserveMayPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		d := &middleware.Drainer{Observe: func(middleware.Observation) { panic("of the observer") }, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "fine") }))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		assert.Equal(t, "fine", w.Body.String())
		require.NoError(t, d.Shutdown(t.Context()))
		assert.Equal(t, uint64(1), d.Report().Before.Completed)
		assert.Equal(t, 2, strings.Count(log.String(), "in=Observe"), log.String())
	})
}

// The drain isn't over before Observe has returned for the last response.
func TestDrainEndsBehindObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		observed := false
		d := &middleware.Drainer{Observe: func(ob middleware.Observation) {
			if ob.Outcome != "" {
				time.Sleep(100 * time.Millisecond)
				observed = true
			}
		}}
		h := middleware.Graceful(d)(http.HandlerFunc(quiet))
		go func() {
			defer func() { _ = recover() }() // it is broken off
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		}()
		synctest.Wait()
		require.NoError(t, d.Shutdown(t.Context()))
		assert.True(t, observed)
	})
}
