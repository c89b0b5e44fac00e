package middleware_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// dice is a source of random numbers for many goroutines.
type dice struct {
	mu sync.Mutex
	*rand.Rand
}

func (d *dice) of(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.IntN(n)
}

// moment is up to three seconds, and never zero.
func (d *dice) moment() time.Duration { return time.Duration(1+d.of(3000)) * time.Millisecond }

// changingKinds is a handler that tags itself another kind all the time, and writes in halves of
// events.
func changingKinds(dice *dice) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if slow := dice.moment(); slow > time.Second {
			stream.OnFarewell(r.Context(), func(time.Duration) (f policy.Farewell) {
				time.Sleep(slow / 2)
				return f
			})
		}
		startEvents(w, hello)
		for range 60 {
			tick := time.NewTimer(dice.moment() / 4)
			select {
			case <-tick.C:
			case <-r.Context().Done():
				tick.Stop()
				return
			}
			switch k := policy.Kind(dice.of(10)); k {
			case policy.Auto, policy.Finite, policy.Infinite:
				stream.Tag(r.Context(), k)
			case 3:
				stream.From(r.Context()).Refine(policy.Rule{MaxAge: dice.moment(), Kind: policy.Kind(dice.of(3))})
			default:
				_, _ = io.WriteString(w, []string{"data: whole\n\n", "data: half", "\n\n"}[dice.of(3)])
				w.(http.Flusher).Flush()
			}
		}
	}
}

// Whatever handlers say and whoever drains, resumes and sheds meanwhile: nothing is told twice,
// whatever is told ends in time, and nothing is left in the end.
func TestRandomHandlersUnderDrainsAndSheds(t *testing.T) {
	const budget, mercy = 20 * time.Second, 5 * time.Second
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			dice := &dice{Rand: rand.New(rand.NewPCG(seed, 1))}
			rule := policy.Rule{
				Kind: policy.Kind(dice.of(2) * 2), Spread: dice.moment(), Mercy: mercy,
				Timeout: []time.Duration{policy.AtOnce, time.Second, 3 * time.Second}[dice.of(3)],
				MaxAge:  time.Duration(dice.of(3)) * 8 * time.Second,
			}
			d := &middleware.Drainer{Policy: rule, Budget: policy.Budget{Total: budget, Announce: time.Duration(dice.of(2)) * 2 * time.Second}}
			r := serve(t, d, changingKinds(dice))
			serving, stop := context.WithCancel(context.Background())
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					for serving.Err() == nil {
						time.Sleep(dice.moment())
						req, err := http.NewRequest(http.MethodGet, "http://memory/", nil)
						assert.NoError(t, err)
						setFields(req, asEventSource)
						res, err := r.client.Do(req)
						if err != nil {
							return // it is over
						}
						var end error
						var told time.Time
						text := ""
						for line := range lines(res.Body, &end) {
							if text += line + "\n"; line == "event: shutdown" {
								told = time.Now()
							}
						}
						res.Body.Close()
						assert.LessOrEqual(t, strings.Count(text, "event: shutdown"), 1, "seed %d: %s", seed, text)
						if !told.IsZero() {
							assert.NoError(t, end)
							assert.LessOrEqual(t, time.Since(told), max(rule.Timeout, mercy), "seed %d: %s", seed, text)
						}
					}
				})
			}
			for range 5 {
				all.Go(func() {
					for serving.Err() == nil {
						time.Sleep(2 * dice.moment())
						switch dice.of(3) {
						case 0:
							d.Drain()
							time.Sleep(dice.moment())
							if err := d.Resume(); !errors.Is(err, middleware.ErrFinal) {
								assert.NoError(t, err)
							}
						default:
							ctx, cancel := context.WithTimeout(serving, 10*dice.moment())
							shed, err := d.Shed(ctx, middleware.ShedOptions{Fraction: 0.3, Rule: policy.Rule{Spread: dice.moment()}})
							if err == nil {
								assert.EqualValues(t, shed.Picked, shed.All(), "seed %d", seed)
							}
							cancel()
						}
					}
				})
			}
			all.Go(func() {
				for report := range d.Watch(context.Background()) {
					requireBalanced(t, report)
				}
			})
			time.Sleep(time.Minute)
			began := time.Now()
			assert.NoError(t, d.Shutdown(context.Background()))
			assert.LessOrEqual(t, time.Since(began), budget)
			stop()
			_, err := r.end()
			assert.NoError(t, err)
			all.Wait()
			assert.False(t, schedulerRuns())
			assert.Zero(t, d.Report().Open)
		})
		if t.Failed() {
			return
		}
	}
}

// Everything at once, much of it at the same instant: each request has one outcome, no event is
// torn, and the drain keeps within its budget.
func TestDrainOfMixedTraffic(t *testing.T) {
	upTo := func(d time.Duration) { time.Sleep(rand.N(d)) }
	ticking := func(w http.ResponseWriter, r *http.Request, each func(i int)) {
		for i := 0; r.Context().Err() == nil; i++ {
			each(i)
			if _, err := io.WriteString(w, "data: tick\n\n"); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			upTo(3 * time.Millisecond)
		}
	}
	for range 5 {
		synctest.Test(t, func(t *testing.T) {
			s := &store{t: t}
			mux := http.NewServeMux()
			mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				var wg sync.WaitGroup
				for range 3 {
					wg.Go(func() { ticking(w, r, func(int) { s.use() }) })
				}
				wg.Wait()
			})
			mux.HandleFunc("/flip", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				ticking(w, r, func(i int) { stream.Tag(r.Context(), policy.Kind(i%3)) })
			})
			mux.Handle("/ws", echo(s))
			mux.HandleFunc("/finite", func(w http.ResponseWriter, _ *http.Request) {
				upTo(60 * time.Millisecond)
				_, _ = io.WriteString(w, "ok")
			})
			mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) {
				upTo(60 * time.Millisecond)
				panic(http.ErrAbortHandler)
			})
			mux.HandleFunc("/goexit", func(http.ResponseWriter, *http.Request) {
				upTo(60 * time.Millisecond)
				runtime.Goexit()
			})
			d := &middleware.Drainer{
				Policy: policy.Rule{Grace: 20 * time.Millisecond, Spread: 20 * time.Millisecond, Timeout: 30 * time.Millisecond, Mercy: 30 * time.Millisecond},
				Budget: policy.Budget{Total: time.Second},
			}
			graceful := middleware.Graceful(d)(mux)
			var asked atomic.Uint64
			r := serveWrapped(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				graceful.ServeHTTP(w, r)
			}))
			r.store = s
			r.client.Transport.(*http.Transport).DisableKeepAlives = true // they'd retry

			var clients sync.WaitGroup
			paths := []string{"/stream", "/flip", "/ws", "/finite", "/panic", "/goexit"}
			for i := range 60 {
				clients.Go(func() {
					upTo(40 * time.Millisecond)
					path := paths[i%len(paths)]
					if path == "/ws" {
						c, _, err := (&websocket.Dialer{NetDialContext: r.net.Dial}).Dial("ws://memory/ws", nil)
						for err == nil {
							_, _, err = c.ReadMessage()
						}
						if c != nil {
							c.Close()
						}
						return
					}
					a := <-r.getAsync(path)
					if a.err == nil && path == "/stream" && a.StatusCode == http.StatusOK {
						assert.Regexp(t, `^(data: tick\n\n)*retry: \d+\n(event: shutdown\ndata: .*\n)?\n$`, a.body)
					}
				})
			}
			time.Sleep(30 * time.Millisecond)
			r.stop()
			took, err := r.end()
			assert.NoError(t, err)
			assert.LessOrEqual(t, took, time.Second)
			clients.Wait()
			report := d.Report()
			assert.Equal(t, asked.Load(), report.Before.All()+report.All(), "%+v", report)
			assert.Zero(t, report.Open.All())
		})
	}
}
