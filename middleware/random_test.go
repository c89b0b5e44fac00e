package middleware_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// dice are thrown by many.
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

// whims is a handler that changes its mind about what it is all the time, and writes
// in halves of events.
func whims(dice *dice) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if slow := dice.moment(); slow > time.Second {
			stream.OnFarewell(r.Context(), func(time.Duration) (f policy.Farewell) {
				time.Sleep(slow / 2)
				return f
			})
		}
		begins(w, hello)
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

// Whatever handlers say and whoever drains, resumes and sheds meanwhile: nobody is
// told twice, whoever is told has ended in time, and nothing is left in the end.
func TestAnythingGoes(t *testing.T) {
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
			r := serve(t, d, whims(dice))
			serving, stop := context.WithCancel(context.Background())
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					for serving.Err() == nil {
						time.Sleep(dice.moment())
						res, err := r.client.Get("http://memory/")
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
							shed, err := d.Shed(ctx, middleware.Share{Fraction: 0.3, Rule: policy.Rule{Spread: dice.moment()}})
							if err == nil {
								assert.EqualValues(t, shed.Picked, shed.All(), "seed %d", seed)
							}
							cancel()
						}
					}
				})
			}
			time.Sleep(time.Minute)
			began := time.Now()
			assert.NoError(t, d.Shutdown(context.Background()))
			assert.LessOrEqual(t, time.Since(began), budget)
			stop()
			_, err := r.end()
			assert.NoError(t, err)
			all.Wait()
			assert.False(t, conducting())
			assert.Zero(t, d.Report().Open)
		})
		if t.Failed() {
			return
		}
	}
}
