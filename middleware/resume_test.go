package middleware_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
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

// A drain that is taken back half-way has told the one half of the streams, and
// leaves everything else as it was.
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
		slow := r.later("/slow")
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
		told := over(ends)
		assert.InDelta(t, 100, len(told), 1)
		for _, e := range told {
			require.NoError(t, e.err)
			assert.True(t, e.told(), "those told are told to the end")
		}
		report := d.Report()
		assert.Equal(t, middleware.Serving, report.Phase)
		assert.Zero(t, report.Outcomes)
		assert.Equal(t, stream.Outcomes{Told: uint64(len(told)), Refused: 1}, report.Before)
		assert.Equal(t, stream.Tally{Finite: 1, SSE: 201 - len(told)}, report.Open)
		assert.False(t, conducting())
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

func TestResumeOfWhatIsOver(t *testing.T) {
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
			assert.Equal(t, stream.Outcomes{Told: round + 1, Refused: round + 1}, d.Report().Before)
		}
		d.Drain()
		time.Sleep(time.Second)
		r.drain() // Shutdown of one that is over
		r.ended(0)
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
		r.ended(10 * time.Second)
	})
}

// A stream that a drain was about to tell has its age before it again.
func TestResumeLeavesTheAge(t *testing.T) {
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
		r.ended(0)
	})
}

// What is past taking back goes on: a context that has been cancelled, a response
// that is cut later.
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
		kind, stubborn := r.later("/kind"), r.later("/stubborn")
		synctest.Wait()
		d.Drain()
		time.Sleep(1500 * time.Millisecond)
		assert.Equal(t, middleware.Cancelling, d.Report().Phase)
		require.NoError(t, d.Resume())
		assert.Equal(t, http.StatusServiceUnavailable, (<-kind).StatusCode)
		assert.Error(t, (<-stubborn).err)
		time.Sleep(time.Minute)
		assert.Equal(t, stream.Outcomes{Cancelled: 1, Cut: 1}, d.Report().Before)
		assert.Empty(t, d.Report().Ends, "the drain that it was of is no more")
		r.drain()
		r.ended(0)
	})
}

// Only what Drain began, and nobody has taken on since, can be taken back.
func TestWhatIsFinal(t *testing.T) {
	for name, final := range map[string]func(*middleware.Drainer){
		"Start":    (*middleware.Drainer).Start,
		"Shutdown": func(d *middleware.Drainer) { go func() { _ = d.Shutdown(context.Background()) }() },
		"Close":    func(d *middleware.Drainer) { go func() { _ = d.Close() }() },
	} {
		for _, drained := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := &middleware.Drainer{Policy: policy.Rule{Timeout: 5 * time.Second}}
					r := serve(t, d, http.HandlerFunc(quiet))
					end := r.watch("/")
					if drained {
						d.Drain()
						time.Sleep(time.Second)
					}
					final(d)
					synctest.Wait()
					assert.ErrorIs(t, d.Resume(), middleware.ErrFinal)
					assert.False(t, ready(d))
					assert.True(t, name == "Close" || (<-end).told())
					_, err := r.end()
					require.NoError(t, err)
					assert.ErrorIs(t, d.Resume(), middleware.ErrFinal)
				})
			})
		}
	}
}

// An undo may come at any moment, the last farewell's too: a stream is then either
// told, and ends, or it stays, and nothing in between. Nothing is lost or counted
// twice, however often that goes on.
func TestResumeRacesTheFarewells(t *testing.T) {
	const rounds, streams = 300, 20
	d := &middleware.Drainer{Policy: policy.Rule{Spread: time.Millisecond, Timeout: policy.AtOnce}}
	h := middleware.Graceful(d)(http.HandlerFunc(quiet))
	type client struct {
		over chan struct{}
		w    *httptest.ResponseRecorder
	}
	open := map[*client]bool{}
	var all uint64
	for range rounds {
		for len(open) < streams {
			r, err := http.NewRequest(http.MethodGet, "http://test/", nil)
			require.NoError(t, err)
			c := &client{make(chan struct{}), httptest.NewRecorder()}
			open[c] = true
			all++
			go func() {
				defer close(c.over)
				h.ServeHTTP(c.w, r)
			}()
		}
		d.Drain()
		// From before the first farewell to after the last.
		for begin, wait := time.Now(), rand.N(2*time.Millisecond); time.Since(begin) < wait; {
			runtime.Gosched()
		}
		require.NoError(t, d.Resume())
		require.Equal(t, middleware.Serving, d.Report().Phase)
		for c := range open {
			select {
			case <-c.over: // told, or refused
				delete(open, c)
			default:
			}
		}
	}
	require.NoError(t, d.Shutdown(context.Background()))
	for c := range open {
		<-c.over
	}
	report := d.Report()
	assert.EqualValues(t, all, report.Before.All()+report.All(), "%+v", report)
	assert.Positive(t, report.Before.Told)
	assert.Zero(t, report.Before.Cut+report.Cut+report.Before.Cancelled+report.Cancelled)
	assert.Zero(t, report.Before.Completed+report.Completed)
}

// Everything at once, for the race detector and for what never ends.
func TestServingRaces(t *testing.T) {
	for range 50 {
		d := &middleware.Drainer{Policy: policy.Rule{MaxAge: time.Millisecond, Spread: time.Millisecond, Timeout: policy.AtOnce}}
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if rand.IntN(2) == 0 {
				stream.From(r.Context()).Refine(policy.Rule{MaxAge: policy.ToTheEnd})
			}
			quiet(w, r)
		}))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				r, _ := http.NewRequest(http.MethodGet, "http://test/", nil)
				h.ServeHTTP(httptest.NewRecorder(), r)
			})
			wg.Go(d.Drain)
			wg.Go(func() { _ = d.Resume() })
			wg.Go(func() { _, _ = d.Shed(context.Background(), middleware.Share{N: 2}) })
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(int(time.Millisecond))))
				defer cancel()
				_, _ = d.Shed(ctx, middleware.Share{Fraction: 0.5, Rule: policy.Rule{Spread: time.Second}})
			})
			wg.Go(func() { _ = d.Report() })
		}
		wg.Go(func() { assert.NoError(t, d.Shutdown(context.Background())) })
		wg.Wait()
		report := d.Report()
		assert.EqualValues(t, 8, report.Before.All()+report.All(), "%+v", report)
		assert.Zero(t, report.Open.All())
	}
}

// A drain that ended without an OnFarewell function that blocked may be taken back,
// and what begins then doesn't meet what still waits for that one.
func TestResumeBesideAFarewellThatBlocks(t *testing.T) {
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
		_, err := d.Shed(context.Background(), middleware.Share{N: 1})
		require.NoError(t, err)
		<-over
	}
	require.NoError(t, d.Shutdown(context.Background()))
}
