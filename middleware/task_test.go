package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

type userKey struct{}

func TestRunWaitsForTheTasksThatHandlersLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		done := make(chan string, 20)
		var r *rig
		r = serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			ctx, cancel := context.WithTimeout(context.WithValue(req.Context(), userKey{}, "alice"), time.Millisecond)
			defer cancel()
			assert.NoError(t, d.Go(ctx, func(ctx context.Context) {
				time.Sleep(time.Second)
				r.store.use()
				assert.NoError(t, ctx.Err(), "neither the handler's return nor its own timeout ends it")
				done <- ctx.Value(userKey{}).(string)
			}))
			w.WriteHeader(http.StatusAccepted)
		}))
		for range 20 {
			res := r.get("/orders")
			res.Body.Close()
			assert.Equal(t, http.StatusAccepted, res.StatusCode)
		}
		r.drain()
		assert.Equal(t, middleware.Tally{Tasks: 20}, d.Report().Open)
		assert.Equal(t, 20, d.Report().Open.All())
		report := r.endsAfter(time.Second)
		assert.Len(t, done, 20)
		assert.Equal(t, "alice", <-done)
		assert.Equal(t, middleware.Tally{Tasks: 20}, report.Found)
		assert.Equal(t, middleware.Outcomes{Completed: 20}, report.Outcomes)
		assert.Equal(t, middleware.Outcomes{Completed: 20}, report.Before, "the responses")
	})
}

// A task is told and canceled as a finite response is: by the rules that it was given, else within
// the budget.
func TestTaskIsToldAndCanceled(t *testing.T) {
	for name, c := range map[string]struct {
		rules  []policy.Rule
		cancel time.Duration
	}{
		"no rule":         {nil, 22 * time.Second},
		"Grace":           {[]policy.Rule{{Grace: 2 * time.Second}, {Grace: 9 * time.Second}}, 2 * time.Second},
		"a stream's rule": {[]policy.Rule{{Kind: policy.Infinite, Spread: time.Second, MaxAge: time.Second}}, 22 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{}
				r := serve(t, d, http.NotFoundHandler())
				after := make(chan context.Context, 1)
				require.NoError(t, d.Go(t.Context(), func(ctx context.Context) {
					after <- ctx
					select {
					case <-stream.Draining(ctx):
					case <-ctx.Done():
					}
					assert.Zero(t, r.since(), "told at once")
					deadline, ok := stream.Deadline(ctx)
					assert.True(t, ok)
					assert.Equal(t, c.cancel, deadline.Sub(r.began))
					<-ctx.Done()
					assert.Equal(t, c.cancel, r.since())
					assert.Equal(t, stream.ErrDraining, context.Cause(ctx))
				}, c.rules...))
				time.Sleep(time.Hour)
				r.drain()
				report := r.endsAfter(c.cancel)
				assert.Equal(t, middleware.Outcomes{Canceled: 1}, report.Outcomes)
				ctx := <-after
				assert.Equal(t, stream.Task, stream.From(ctx).Format())
			})
		})
	}
}

func TestTasksContextEndsWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		own := make(chan context.Context, 1)
		require.NoError(t, d.Go(t.Context(), func(ctx context.Context) { own <- ctx }))
		ctx := <-own
		<-ctx.Done()
		assert.Equal(t, context.Canceled, context.Cause(ctx))
	})
}

func TestTaskThatDoesNotReturnIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		r := serve(t, d, http.NotFoundHandler())
		release := make(chan struct{})
		defer close(release)
		require.NoError(t, d.Go(t.Context(), func(context.Context) { <-release }, policy.Rule{Grace: time.Second, Mercy: time.Second}))
		r.drain()
		took, err := r.end()
		assert.Equal(t, 3*time.Second, took, "its grace, its mercy, and half of the reserve")
		var incomplete *middleware.IncompleteError
		require.ErrorAs(t, err, &incomplete)
		require.Len(t, incomplete.Running, 1)
		named := incomplete.Running[0]
		assert.Regexp(t, `middleware_test\.TestTaskThatDoesNotReturnIsNamed\.func1\(task_test\.go:\d+\)`, named.Route)
		assert.Equal(t, stream.Task, named.Format)
		assert.Equal(t, policy.Finite, named.Kind)
		assert.EqualValues(t, 1, d.Report().Cut)
	})
}

// Once the drain admits no more, whoever has ended can't hand it another task, and whoever goes on
// can: also a task can, but not when there is no time left.
func TestDrainRefusesTasksOfThoseThatHaveEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Budget: policy.Budget{Total: 12 * time.Second, Announce: time.Second, Reserve: 2 * time.Second}}
		var r *rig
		ended := make(chan context.Context, 1)
		ran := make(chan string, 10)
		hand := func(ctx context.Context, name string) error {
			return d.Go(ctx, func(context.Context) { ran <- name })
		}
		refused := 0
		assertRefused := func(ctx context.Context, why string) {
			err := hand(ctx, why)
			assert.ErrorIs(t, err, stream.ErrDraining, why)
			assert.ErrorContains(t, err, "middleware_test.TestDrain", "names the task")
			refused++
			assert.EqualValues(t, refused, d.Report().Refused, why)
		}
		r = serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			ctx := req.Context()
			if req.URL.Path == "/quick" {
				ended <- ctx
				return
			}
			<-stream.Draining(ctx)
			assert.NoError(t, hand(ctx, "open response"))
			assert.NoError(t, hand(context.WithoutCancel(ctx), "open response, a context made from its own"))
			assert.NoError(t, d.Go(ctx, func(ctx context.Context) { assert.NoError(t, hand(ctx, "task's task")) }))
			<-ctx.Done()
			assert.Equal(t, 9*time.Second, r.since())
			assertRefused(ctx, "it would be canceled at once")
		}))
		r.get("/quick").Body.Close()
		slow := r.getAsyncWith("/slow")
		synctest.Wait()
		r.drain()
		assert.NoError(t, hand(t.Context(), "announcing"))
		time.Sleep(time.Second + 1)
		synctest.Wait()
		assertRefused(t.Context(), "of no response")
		assertRefused(<-ended, "its response has ended")
		other := &middleware.Drainer{}
		assert.NoError(t, other.Go(t.Context(), func(ctx context.Context) { assertRefused(ctx, "of another Drainer") }))
		synctest.Wait()
		r.endsAfter(9 * time.Second)
		assert.Equal(t, http.StatusServiceUnavailable, (<-slow).StatusCode)
		assertRefused(t.Context(), "the drain is over")
		close(ran)
		var names []string
		for name := range ran {
			names = append(names, name)
		}
		assert.ElementsMatch(t, []string{"announcing", "open response", "open response, a context made from its own", "task's task"}, names)
	})
}

func TestTaskThatPanicsIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged, serverLogged bytes.Buffer
		d := &middleware.Drainer{}
		r := serve(t, d, http.NotFoundHandler())
		srv := &http.Server{ErrorLog: log.New(&serverLogged, "", 0)}
		ctx := context.WithValue(t.Context(), http.ServerContextKey, srv)
		require.NoError(t, d.Go(ctx, func(context.Context) { panic(errors.New("no such order")) }))
		require.NoError(t, d.Go(ctx, func(context.Context) { runtime.Goexit() }))
		report := r.endsAfter(0)
		assert.EqualValues(t, 2, report.Before.Completed+report.Completed)
		assert.Contains(t, serverLogged.String(), "panic in task middleware_test.TestTaskThatPanicsIsLogged.func1(task_test.go:")
		assert.Contains(t, serverLogged.String(), "no such order\ngoroutine ")

		d = &middleware.Drainer{Logger: slog.New(slog.NewTextHandler(&logged, nil))}
		serverLogged.Reset()
		require.NoError(t, d.Go(ctx, func(context.Context) { panic("out of stock") }))
		synctest.Wait()
		assert.Contains(t, logged.String(), `level=ERROR msg="a task panicked"`)
		assert.Contains(t, logged.String(), `panic="out of stock"`)
		assert.Contains(t, logged.String(), `stack="goroutine `)
		assert.Contains(t, logged.String(), "TestTaskThatPanicsIsLogged")
		assert.Empty(t, serverLogged.String())
		require.NoError(t, d.Shutdown(t.Context()))
	})
}

func TestTaskThatResumeLetsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
		r := serveWithoutRun(t, h)
		require.NoError(t, d.Go(t.Context(), func(ctx context.Context) {
			time.Sleep(time.Minute)
			assert.NoError(t, ctx.Err())
		}))
		d.Drain()
		time.Sleep(10 * time.Second)
		require.NoError(t, d.Resume())
		assert.Equal(t, middleware.Tally{Tasks: 1}, d.Report().Open)
		time.Sleep(time.Minute)
		assert.EqualValues(t, 1, d.Report().Before.Completed)
		_, _ = r.end()
	})
}

// A task that comes at the moment at which the drain gives up is refused, or it has its time.
func TestTaskThatComesAsTheDrainGivesUp(t *testing.T) {
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			d := &middleware.Drainer{Policy: policy.Rule{Grace: time.Second, Mercy: time.Second}}
			var ran, taken atomic.Int32
			r := serve(t, d, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
				for range 8 {
					go func() {
						time.Sleep(3 * time.Second) // the grace, the mercy, and half of the reserve
						if d.Go(req.Context(), func(context.Context) {
							time.Sleep(5 * time.Second)
							ran.Add(1)
						}) == nil {
							taken.Add(1)
						}
					}()
				}
				time.Sleep(4 * time.Second)
			}))
			r.getAsyncWith("/")
			r.drain()
			_, _ = r.end()
			assert.Equal(t, taken.Load(), ran.Load())
			time.Sleep(10 * time.Second) // until the handler returns
		})
	}
}

// Requests and tasks come at random, before, in and after a drain: each has exactly one end, and
// every task that was taken has run when Run returns.
func TestAdmissionLosesNobody(t *testing.T) {
	var refused uint64
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d))) }
			d := &middleware.Drainer{
				Policy: policy.Rule{Admit: true},
				Budget: policy.Budget{Total: 3 * time.Second, Reserve: time.Second},
			}
			var mu sync.Mutex // guards random and following
			var answered, handed, taken, ran int
			count := func(n *int) {
				mu.Lock()
				defer mu.Unlock()
				*n++
			}
			var r *rig
			wait := func(ctx context.Context) error {
				r.store.use()
				mu.Lock()
				d := upTo(time.Second)
				mu.Unlock()
				timer := time.NewTimer(d)
				defer timer.Stop()
				select {
				case <-timer.C:
				case <-ctx.Done():
					time.Sleep(d / 5)
				}
				r.store.use()
				return ctx.Err()
			}
			r = serve(t, d, http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
				if wait(req.Context()) != nil {
					return
				}
				count(&handed)
				if d.Go(req.Context(), func(ctx context.Context) {
					_ = wait(ctx)
					count(&ran)
				}) == nil {
					count(&taken)
				}
			}))
			var clients sync.WaitGroup
			for range 100 {
				mu.Lock()
				at := upTo(4 * time.Second)
				mu.Unlock()
				clients.Go(func() {
					time.Sleep(at)
					if a := <-r.getAsyncWith("/"); a.err == nil { // else the listener is closed
						count(&answered)
					}
				})
			}
			time.Sleep(time.Second)
			r.drain()
			_, err := r.end()
			require.NoError(t, err)
			clients.Wait()
			report := d.Report()
			assert.Zero(t, report.Open)
			assert.Equal(t, taken, ran)
			assert.EqualValues(t, answered+handed, report.Before.All()+report.All(), "seed %d", seed)
			assert.Greater(t, answered, 50, "most were admitted")
			refused += report.Refused
		})
	}
	assert.Positive(t, refused)
}
