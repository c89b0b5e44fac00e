package middleware_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
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

// seen are the reports that a watcher got, and when.
type seen struct {
	middleware.Report
	at time.Time
}

// watchReports watches d until Watch ends, and sends what it saw.
func watchReports(ctx context.Context, d *middleware.Drainer) <-chan []seen {
	c := make(chan []seen, 1)
	go func() {
		var all []seen
		for r := range d.Watch(ctx) {
			all = append(all, seen{r, time.Now()})
		}
		c <- all
	}()
	return c
}

// A watcher sees a drain begin and end as it happens, and what is between soon enough.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Grace: time.Second, Timeout: policy.AtOnce}}
		r := serve(t, d, ticks(nil))
		began := time.Now()
		first, second := watchReports(t.Context(), d), watchReports(t.Context(), d)
		r.getAsync("/")
		time.Sleep(2500 * time.Millisecond)
		r.drain()
		r.endsAfter(time.Second)
		all := <-first
		require.Equal(t, len(all), len(<-second))
		var serving, draining []time.Duration
		for _, s := range all {
			requireBalanced(t, s.Report)
			if after := s.at.Sub(began).Round(10 * time.Millisecond); s.Phase == middleware.Serving {
				serving = append(serving, after)
			} else {
				draining = append(draining, after)
			}
		}
		assert.Equal(t, []time.Duration{0, time.Second, 2 * time.Second}, serving)
		require.GreaterOrEqual(t, len(draining), 11)
		require.LessOrEqual(t, len(draining), 12)
		for i, after := range draining[:10] {
			assert.Equal(t, 2500*time.Millisecond+time.Duration(i)*100*time.Millisecond, after)
		}
		last := all[len(all)-1]
		assert.Equal(t, middleware.Done, last.Phase)
		assert.EqualValues(t, 1, last.Told)
		assert.Equal(t, 3500*time.Millisecond, last.at.Sub(began).Round(10*time.Millisecond))
		assert.Len(t, <-watchReports(t.Context(), d), 1, "of a drain that is over and final")
	})
}

// A watcher stays while the drain can be taken back, and whoever doesn't take the next report in
// time misses it.
func TestWatchAcrossResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(middleware.Drainer)
		all := watchReports(t.Context(), d)
		synctest.Wait()
		slow, got := make(chan struct{}), make(chan middleware.Phase)
		go func() {
			for r := range d.Watch(t.Context()) {
				got <- r.Phase
				<-slow
			}
			close(got)
		}()
		assert.Equal(t, middleware.Serving, <-got)
		d.Drain()
		synctest.Wait()
		assert.Equal(t, middleware.Done, d.Report().Phase)
		require.NoError(t, d.Resume())
		synctest.Wait()
		d.Drain()
		synctest.Wait()
		time.Sleep(1500 * time.Millisecond)
		final := time.Now()
		require.NoError(t, d.Shutdown(t.Context()))
		var phases []middleware.Phase
		for _, s := range <-all {
			phases = append(phases, s.Phase)
		}
		assert.Equal(t, final, time.Now(), "at once when it can't be taken back any more")
		assert.Contains(t, fmt.Sprint(phases), "done serving")
		assert.Equal(t, middleware.Done, phases[len(phases)-1])
		close(slow)
		assert.Equal(t, middleware.Done, <-got)
		_, more := <-got
		assert.False(t, more)
	})
}

// A watcher who is slow to take a report gets that of the end at once, if the drain has ended
// meanwhile.
func TestWatchAfterASlowReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce}, Budget: policy.Budget{Announce: time.Second}}
		r := serve(t, d, ticks(nil))
		r.getAsync("/")
		synctest.Wait()
		r.drain()
		synctest.Wait()
		var phases []middleware.Phase
		var ended time.Time
		for report := range d.Watch(t.Context()) {
			phases = append(phases, report.Phase)
			if len(phases) == 1 {
				assert.NoError(t, d.Shutdown(t.Context()))
				ended = time.Now()
			}
		}
		assert.Equal(t, []middleware.Phase{middleware.Announcing, middleware.Done}, phases)
		assert.Equal(t, ended, time.Now())
		r.endsAfter(time.Second)
	})
}

func TestWatchEndsWithItsCaller(t *testing.T) {
	d := new(middleware.Drainer)
	for range d.Watch(t.Context()) {
		break
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range d.Watch(ended) {
		t.Error("its context had ended")
	}
	require.NoError(t, d.Shutdown(t.Context()))
}

// A preStop hook begins the drain and waits for it, mounted wherever: the drain doesn't wait for
// the hook, and its client gets its answer.
func TestWaitInAHandlerUnderGraceful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce}}
		mux := http.NewServeMux()
		mux.Handle("/stream", ticks(nil))
		mux.HandleFunc("/slow", func(http.ResponseWriter, *http.Request) { time.Sleep(3 * time.Second) })
		mux.HandleFunc("POST /drain", func(w http.ResponseWriter, r *http.Request) {
			d.Drain()
			if err := d.Wait(r.Context()); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			_, _ = io.WriteString(w, string(d.Report().Phase))
		})
		r := serve(t, d, mux)
		r.getAsync("/stream")
		r.getAsync("/slow")
		synctest.Wait()
		began := time.Now()
		res, err := r.client.Post("http://memory/drain", "", nil)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		assert.Equal(t, "200 done", fmt.Sprint(res.StatusCode, " ", string(body)))
		assert.InDelta(t, 3*time.Second, time.Since(began), float64(20*time.Millisecond))
		assert.Empty(t, d.Report().Aborted)
		requireBalanced(t, d.Report())
		_, err = r.end()
		assert.NoError(t, err)
	})
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Mercy: policy.AtOnce}}
		release := make(chan struct{})
		r := serve(t, d, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
		deaf := r.getAsync("/deaf")
		synctest.Wait()
		wait := func(ctx context.Context) <-chan error {
			c := make(chan error, 1)
			go func() { c <- d.Wait(ctx) }()
			synctest.Wait()
			return c
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := <-wait(short)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "no drain has begun")

		early := wait(t.Context())
		d.Drain()
		short, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err = <-wait(short)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "not over")
		assert.Equal(t, middleware.Draining, d.Report().Phase, "only the waiting ends")
		require.NoError(t, d.Resume())
		assert.ErrorIs(t, <-early, middleware.ErrTakenBack)

		early = wait(t.Context())
		_, err = r.end()
		var incomplete *middleware.IncompleteError
		for _, err := range []error{err, <-early, d.Wait(t.Context())} {
			require.ErrorAs(t, err, &incomplete)
			assert.Len(t, incomplete.Running, 1)
		}
		close(release)
		<-deaf
	})
}

// What is open is listed with what an operator asks for, the oldest first or as told, page by page.
func TestOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{
			Policy:       policy.Rule{Timeout: time.Second},
			RedactRemote: func(addr string) string { return strings.ToUpper(addr) + "\n" },
		}
		mux := http.NewServeMux()
		mux.Handle("/ticks/{n}", ticks(nil))
		mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		r := serve(t, d, mux)
		for n := range 3 {
			r.getAsync(fmt.Sprintf("/ticks/%d", n))
			time.Sleep(100 * time.Millisecond)
		}
		r.getAsync("/slow")
		synctest.Wait()
		var task sync.WaitGroup
		task.Add(1)
		require.NoError(t, d.Go(context.Background(), func(context.Context) { task.Wait() }))
		time.Sleep(50 * time.Millisecond)

		page, total := d.Open(middleware.OpenOptions{Limit: 1})
		assert.Equal(t, 5, total)
		assert.Equal(t, []middleware.ResponseInfo{{
			Route: "GET /ticks/0 (pattern /ticks/{n})", Pattern: "/ticks/{n}", Remote: "PIPE%0A", Kind: policy.Infinite, Format: stream.SSE,
			Age: 350 * time.Millisecond, Idle: 350 * time.Millisecond,
		}}, page)
		routes := func(o middleware.OpenOptions) (all []string) {
			page, _ := d.Open(o)
			for _, i := range page {
				all = append(all, i.Route)
			}
			return all
		}
		assert.Equal(t, []string{"GET /ticks/2 (pattern /ticks/{n})", "GET /slow"}, routes(middleware.OpenOptions{Offset: 2, Limit: 2}))
		assert.Len(t, routes(middleware.OpenOptions{Offset: -1, Limit: -1}), 5)
		assert.Empty(t, routes(middleware.OpenOptions{Offset: 5}))
		byRoute := func(a, b middleware.ResponseInfo) int { return strings.Compare(a.Route, b.Route) }
		assert.Equal(t, []string{"GET /slow", "GET /ticks/0 (pattern /ticks/{n})"}, routes(middleware.OpenOptions{Sort: byRoute, Limit: 2}))
		tasks := middleware.OpenOptions{Match: func(r *stream.Response) bool { return r.Format() == stream.Task }}
		page, total = d.Open(tasks)
		assert.Equal(t, 1, total)
		assert.Empty(t, page[0].Remote, "a task has no client")
		assert.Empty(t, page[0].Pattern)

		r.drain()
		page, _ = d.Open(middleware.OpenOptions{Limit: 1})
		assert.True(t, page[0].Told)
		task.Done()
		_, err := r.end()
		assert.NoError(t, err)
	})
}
