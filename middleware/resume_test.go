package middleware_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

func ready(d *middleware.Drainer) bool {
	w := httptest.NewRecorder()
	d.Readiness().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	return w.Code == http.StatusOK
}

func begun(d *middleware.Drainer) bool {
	select {
	case <-d.Draining():
		return true
	default:
		return false
	}
}

// A drain that is taken back half-way has told one half of the streams, and leaves everything else
// as it was.
func TestResumeHalfWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Spread: 10 * time.Second, Timeout: time.Second}}
		mux := http.NewServeMux()
		mux.HandleFunc("/", quiet)
		mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Hour) // far longer than the budget
			assert.NoError(t, r.Context().Err())
			_, ok := stream.Deadline(r.Context())
			assert.False(t, ok, "it has none any more")
			_, _ = io.WriteString(w, "done")
		})
		r := serve(t, d, mux)
		ends := r.watchAll(200)
		slow := r.getAsync("/slow")
		synctest.Wait()

		d.Drain()
		d.Drain() // has begun already
		assert.False(t, ready(d))
		assert.True(t, begun(d))
		time.Sleep(500*time.Millisecond + 1) // of the second that 200 take
		assert.Equal(t, http.StatusServiceUnavailable, r.get("/late").StatusCode)
		require.NoError(t, d.Resume())
		assert.True(t, ready(d))
		assert.False(t, begun(d))
		fresh := r.watch("/fresh")
		time.Sleep(time.Minute)
		told := finished(ends)
		assert.InDelta(t, 100, len(told), 1)
		for _, e := range told {
			require.NoError(t, e.err)
			assert.True(t, e.told(), "those told are told to the end")
		}
		report := d.Report()
		assert.Equal(t, middleware.Serving, report.Phase)
		assert.Zero(t, report.Outcomes)
		assert.Equal(t, middleware.Outcomes{Told: uint64(len(told)), Refused: 1}, report.Before)
		assert.Equal(t, middleware.Tally{Finite: 1, SSE: 201 - len(told)}, report.Open)
		assert.False(t, schedulerRuns())
		assert.Equal(t, "done", (<-slow).body)

		_, err := r.end()
		require.NoError(t, err)
		report = d.Report()
		assert.EqualValues(t, 201-len(told), report.Told)
		assert.True(t, (<-fresh).told())
		assert.EqualValues(t, 203, report.Before.All()+report.All())
		assert.ErrorIs(t, d.Resume(), middleware.ErrFinal)
	})
}

func TestResumeAfterTheDrainIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce}}
		r := serve(t, d, http.HandlerFunc(quiet))
		require.NoError(t, d.Resume(), "it serves")
		for round := range uint64(3) {
			end := r.watch("/")
			synctest.Wait()
			d.Drain()
			assert.True(t, (<-end).told())
			time.Sleep(time.Hour)
			report := d.Report()
			assert.Equal(t, middleware.Done, report.Phase)
			assert.EqualValues(t, 1, report.Told)
			assert.Less(t, report.Took, time.Second)
			assert.Equal(t, http.StatusServiceUnavailable, r.get("/late").StatusCode, "until somebody resumes")
			require.NoError(t, d.Resume())
			assert.Equal(t, middleware.Outcomes{Told: round + 1, Refused: round + 1}, d.Report().Before)
		}
		d.Drain()
		time.Sleep(time.Second)
		r.drain() // Shutdown of one that is over
		r.endsAfter(0)
		assert.ErrorIs(t, d.Resume(), middleware.ErrFinal)
	})
}

func TestResumeDuringTheAnnouncement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{MaxAge: time.Hour}, Budget: policy.Budget{Announce: 10 * time.Second}}
		r := serve(t, d, http.HandlerFunc(quiet))
		began := time.Now()
		end := r.watch("/")
		d.Drain()
		time.Sleep(9 * time.Second)
		assert.Equal(t, middleware.Announcing, d.Report().Phase)
		require.NoError(t, d.Resume())
		assert.True(t, ready(d))
		e := <-end
		assert.True(t, e.told())
		assert.Greater(t, e.at.Sub(began), 48*time.Minute, "its age is what it was")
		r.drain()
		r.endsAfter(10 * time.Second)
	})
}

// A stream that a drain was about to tell has its MaxAge before it again.
func TestResumeLeavesTheMaxAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{MaxAge: time.Hour, Grace: 20 * time.Second, Timeout: policy.AtOnce}}
		r := serve(t, d, http.HandlerFunc(quiet))
		began := time.Now()
		end := r.watch("/")
		d.Drain()
		time.Sleep(10 * time.Second)
		require.NoError(t, d.Resume())
		e := <-end
		assert.True(t, e.told())
		assert.Greater(t, e.at.Sub(began), 48*time.Minute)
		assert.LessOrEqual(t, e.at.Sub(began), time.Hour)
		r.drain()
		r.endsAfter(0)
	})
}

// What can't be taken back goes on: a context that has been canceled, a response that is cut later.
func TestResumeAfterTheCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Kind: policy.Finite, Grace: time.Second, Mercy: 2 * time.Second}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/stubborn" {
				time.Sleep(10 * time.Second)
				return
			}
			<-r.Context().Done()
			time.Sleep(time.Second)
		}))
		kind, stubborn := r.getAsyncWith("/kind"), r.getAsync("/stubborn")
		synctest.Wait()
		d.Drain()
		time.Sleep(1500 * time.Millisecond)
		assert.Equal(t, middleware.Canceling, d.Report().Phase)
		require.NoError(t, d.Resume())
		assert.Equal(t, http.StatusServiceUnavailable, (<-kind).StatusCode)
		assert.Error(t, (<-stubborn).err)
		time.Sleep(time.Minute)
		assert.Equal(t, middleware.Outcomes{Canceled: 1, Cut: 1}, d.Report().Before)
		assert.Empty(t, d.Report().Aborted, "the drain that it was of is no more")
		r.drain()
		r.endsAfter(0)
	})
}

// Only a drain that Drain began, and nobody has taken on since, can be taken back.
func TestFinalDrainCannotBeTakenBack(t *testing.T) {
	for name, c := range map[string]struct {
		begin func(*middleware.Drainer)
		tells bool // the streams, before it cuts them
	}{
		"Start":    {(*middleware.Drainer).Start, true},
		"Shutdown": {func(d *middleware.Drainer) { go func() { _ = d.Shutdown(context.Background()) }() }, true},
		"Close":    {func(d *middleware.Drainer) { go func() { _ = d.Close() }() }, false},
	} {
		for after, drained := range map[string]bool{"": false, " after Drain": true} {
			t.Run(name+after, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := &middleware.Drainer{Policy: policy.Rule{Timeout: 5 * time.Second}}
					r := serve(t, d, http.HandlerFunc(quiet))
					end := r.watch("/")
					if drained {
						d.Drain()
						time.Sleep(time.Second)
					}
					c.begin(d)
					synctest.Wait()
					assert.ErrorIs(t, d.Resume(), middleware.ErrFinal)
					assert.False(t, ready(d))
					if c.tells {
						assert.True(t, (<-end).told())
					}
					_, err := r.end()
					require.NoError(t, err)
					assert.ErrorIs(t, d.Resume(), middleware.ErrFinal)
				})
			})
		}
	}
}

// A drain that ended without a blocked OnFarewell function may be taken back, and what begins then
// doesn't meet the wait for that function.
func TestResumeBesideABlockedOnFarewell(t *testing.T) {
	d := &middleware.Drainer{
		Budget: policy.Budget{Total: 20 * time.Millisecond, Reserve: 4 * time.Millisecond},
		Policy: policy.Rule{Timeout: policy.AtOnce, Mercy: policy.AtOnce},
	}
	free := make(chan struct{})
	h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/block" {
			stream.OnFarewell(r.Context(), func(time.Duration) policy.Farewell {
				<-free
				return policy.Farewell{}
			})
		}
		quiet(w, r)
	}))
	open := func(path string) <-chan struct{} {
		over := make(chan struct{})
		go func() {
			defer close(over)
			defer func() { _ = recover() }() // net/http's way to break off, of what has been cut
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
		}()
		for d.Report().Open.SSE == 0 {
			runtime.Gosched()
		}
		return over
	}
	blocked := open("/block")
	d.Drain()
	<-blocked
	for d.Report().Phase != middleware.Done {
		runtime.Gosched()
	}
	require.NoError(t, d.Resume())
	close(free)
	for range 10 {
		over := open("/")
		_, err := d.Shed(context.Background(), middleware.ShedOptions{N: 1})
		require.NoError(t, err)
		<-over
	}
	require.NoError(t, d.Shutdown(context.Background()))
}

// A handler that a drain has given up still runs when that is taken back, and the next one doesn't
// say that none does.
func TestResumeRemembersWhoWasGivenUp(t *testing.T) {
	for name, c := range map[string]struct {
		lasts   time.Duration // of the handler
		running int
	}{"still running": {20 * time.Second, 1}, "returned since": {9 * time.Second, 0}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Budget: policy.Budget{Total: 3 * time.Second}}
				r := serve(t, d, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(c.lasts) }))
				r.getAsync("/stubborn")
				synctest.Wait()
				d.Drain()
				time.Sleep(5 * time.Second)
				assert.Equal(t, middleware.Done, d.Report().Phase)
				require.NoError(t, d.Resume())
				time.Sleep(5 * time.Second)

				err := d.Shutdown(context.Background())
				var incomplete *middleware.IncompleteError
				if c.running == 0 {
					assert.NoError(t, err)
				} else if assert.ErrorAs(t, err, &incomplete) && assert.Len(t, incomplete.Running, 1) {
					assert.Equal(t, "GET /stubborn", incomplete.Running[0].Route)
				}
				time.Sleep(c.lasts)
				d.Start() // and Shutdown again
				assert.NoError(t, d.Shutdown(context.Background()))
			})
		})
	}
}

// Streams whose peers are all stuck are cut at their time also while the server serves: their cuts
// wait behind the workers that the farewells hold up, and nothing else is scheduled.
func TestStuckPeersAreCutWhileServing(t *testing.T) {
	for name, age := range map[string]time.Duration{"told by a drain taken back": 0, "told by their age": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				stuck := 2 * max(4, runtime.GOMAXPROCS(0)) // more than work where nobody is stuck
				d := &middleware.Drainer{Policy: policy.Rule{MaxAge: age, Timeout: time.Second, Mercy: time.Second}}
				r := serve(t, d, http.HandlerFunc(quiet))
				for range stuck {
					c, _ := r.reads("/")
					defer c.Close()
				}
				if age == 0 {
					d.Drain()
					time.Sleep(500 * time.Millisecond)
					require.NoError(t, d.Resume())
				}
				time.Sleep(2500 * time.Millisecond)
				assert.Zero(t, d.Report().Open.SSE)
				_, err := r.end()
				assert.NoError(t, err)
				report := d.Report()
				assert.EqualValues(t, stuck, report.Cut+report.Before.Cut)
			})
		})
	}
}
