package middleware_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// While a drain is announced, requests are served with Connection: close and readiness answers 503.
// Then requests are refused.
func TestAnnouncedDrainStillServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Budget: policy.Budget{Announce: 3 * time.Second}}
		mux := http.NewServeMux()
		mux.Handle("GET /readyz", d.Readiness())
		mux.Handle("/", busy())
		r := serve(t, d, mux)
		res := r.get("/readyz")
		assert.Equal(t, http.StatusOK, res.StatusCode)
		assert.False(t, res.Close)
		going := r.getAsync("/busy")
		events := r.get("/stream") // ends at once, so that its connection idles
		assert.False(t, events.Close)
		r.drain()
		assert.Equal(t, middleware.Announcing, d.Report().Phase)
		assert.Equal(t, http.StatusServiceUnavailable, r.get("/readyz").StatusCode, "from the drain's first moment")
		res = r.get("/late")
		assert.Equal(t, http.StatusOK, res.StatusCode, "still serving")
		assert.True(t, res.Close, "Connection: close")
		time.Sleep(3*time.Second - time.Millisecond)
		assert.Equal(t, http.StatusOK, r.get("/late").StatusCode)
		time.Sleep(2 * time.Millisecond)
		assert.Equal(t, http.StatusServiceUnavailable, r.get("/late").StatusCode)
		assert.Equal(t, middleware.Draining, d.Report().Phase)
		report := r.endsAfter(10 * time.Second)
		assert.Equal(t, http.StatusOK, (<-going).StatusCode)
		assert.EqualValues(t, 2, report.Before.All())
		assert.EqualValues(t, 4, report.Completed, "what came while announcing is the drain's")
	})
}

// Readiness and liveness probes that are mounted outside of Graceful are not refused.
func TestReadinessOutsideOfGraceful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		mux := http.NewServeMux()
		mux.Handle("GET /readyz", d.Readiness())
		mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
		mux.Handle("/", middleware.Graceful(d)(busy()))
		r := serveWrapped(t, d, mux)
		going := r.getAsync("/busy")
		r.drain()
		time.Sleep(time.Second)
		assert.Equal(t, http.StatusServiceUnavailable, r.get("/readyz").StatusCode)
		assert.Equal(t, http.StatusOK, r.get("/healthz").StatusCode)
		report := r.endsAfter(10 * time.Second)
		assert.Zero(t, report.Refused)
		<-going
	})
}

// A deadline that comes before the end of the announcement shortens that too, so that there is time
// for farewells.
func TestDeadlineShortensTheAnnouncement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Budget: policy.Budget{Announce: 10 * time.Second}}
		r := serve(t, d, ticks(nil))
		got := r.getAsync("/")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
		defer cancel()
		assert.NoError(t, d.Shutdown(ctx))
		assert.NoError(t, (<-got).err)
		assert.EqualValues(t, 1, d.Report().Told)
		_, err := r.end()
		assert.NoError(t, err)
	})
}
