package middleware_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// restlessWebSocket is a handler of a WebSocket over HTTP/2 that does all that one can: it accepts
// or refuses in whatever way, writes whole frames and halves from two goroutines, tags itself, and
// returns or panics at any moment, with its goroutines still running.
func restlessWebSocket(dice *dice) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if dice.of(4) == 0 {
			time.Sleep(dice.moment() / 8)
		}
		first := false
		switch dice.of(5) {
		case 0:
			w.WriteHeader(http.StatusForbidden)
			time.Sleep(dice.moment() / 8)
			return
		case 1:
			w.(http.Flusher).Flush()
		case 2: // by the first write, which comes before anything else: an outer handler may answer for a silent one
			first = true
		default:
			w.WriteHeader(http.StatusOK)
		}
		writing := make(chan struct{}, 1) // a lock, as in every library; who waits for a sync.Mutex stops the bubble's clock
		write := func() error {
			writing <- struct{}{}
			defer func() { <-writing }()
			var err error
			for _, p := range [][]string{{hi}, {"\x81\x02", "hi"}, {"\x01\x02to", "\x80\x02rn"}, {hi + "\x81", "\x02hi"}}[dice.of(4)] {
				if _, err = io.WriteString(w, p); err == nil && dice.of(2) == 0 {
					w.(http.Flusher).Flush()
					time.Sleep(dice.moment() / 8)
				}
			}
			return err
		}
		if first {
			_ = write()
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = readAll(r)
		}()
		go func() {
			for write() == nil && r.Context().Err() == nil {
				time.Sleep(dice.moment() / 8)
			}
		}()
		for range 1 + dice.of(40) {
			wait := time.NewTimer(dice.moment() / 4)
			select {
			case <-done:
				return
			case <-stream.Draining(r.Context()):
				if dice.of(2) == 0 {
					return
				}
			case <-wait.C:
			}
			wait.Stop()
			switch dice.of(8) {
			case 0:
				stream.Tag(r.Context(), policy.Kind(dice.of(3)))
			case 1:
				_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Hour))
			case 2:
				_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
			default:
				_ = write()
			}
		}
		if dice.of(8) == 0 {
			panic(http.ErrAbortHandler)
		}
	}
}

// Whatever the handler and the client of a WebSocket over HTTP/2 do, and whoever sheds and drains
// meanwhile: no frame is torn by the farewell, nothing follows it, no write outlasts its handler,
// and the outcomes are what the clients saw.
func TestRandomWebSocketsOverHTTP2(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			dice := &dice{Rand: rand.New(rand.NewPCG(seed, 2))}
			d := &middleware.Drainer{
				Policy: policy.Rule{
					Grace: dice.moment() / 2, Spread: dice.moment() / 2, Mercy: time.Second,
					Timeout:  []time.Duration{policy.AtOnce, time.Second, 3 * time.Second}[dice.of(3)],
					MaxAge:   time.Duration(dice.of(2)) * 4 * time.Second,
					Farewell: policy.Farewell{Code: 4001, Reason: "bye", Message: []string{"", "last"}[dice.of(2)]},
				},
				Budget: policy.Budget{Total: 20 * time.Second},
			}
			h := middleware.Graceful(d)(restlessWebSocket(dice))
			const peers = 20
			var mu sync.Mutex
			var closes, answers int
			var all sync.WaitGroup
			for range peers {
				all.Go(func() {
					time.Sleep(dice.moment())
					peer := extendedConnect(t, h)
					slow, answersAfter := dice.of(4) == 0, time.Duration(dice.of(3))*dice.moment()/4
					gone := time.AfterFunc(time.Duration(1+dice.of(6))*dice.moment(), func() {
						if slow {
							peer.Close()
						}
					})
					defer gone.Stop()
					frames := format.Frames{Upgraded: true}
					var seen []byte
					buf := make([]byte, 1+dice.of(64))
					for {
						n, err := peer.Read(buf)
						seen = append(seen, buf[:n]...)
						if len(seen) > 0 && seen[0] == 't' { // "the server is shutting down", "this has taken"
							_, _ = io.Copy(io.Discard, peer)
							return
						}
						wasClosed := frames.Closed
						assert.False(t, wasClosed && n > 0, "seed %d: %q follows the Close", seed, seen)
						_, _ = frames.Write(buf[:n])
						assert.False(t, frames.Lost, "seed %d: torn: %q", seed, seen)
						if frames.Closed && !wasClosed {
							mu.Lock()
							closes++
							mu.Unlock()
							if answersAfter > 0 {
								time.Sleep(answersAfter)
								if _, err := io.WriteString(peer, answer4001); err == nil {
									mu.Lock()
									answers++
									mu.Unlock()
								}
							}
						}
						if err != nil {
							return
						}
						if slow {
							time.Sleep(dice.moment() / 4)
						}
					}
				})
			}
			for range 2 {
				all.Go(func() {
					time.Sleep(dice.moment())
					ctx, cancel := context.WithTimeout(context.Background(), 2*dice.moment())
					defer cancel()
					_, _ = d.Shed(ctx, middleware.ShedOptions{Fraction: 0.3})
				})
			}
			all.Go(func() {
				if dice.of(2) == 0 {
					time.Sleep(dice.moment())
					d.Drain()
					time.Sleep(dice.moment())
					_ = d.Resume()
				}
			})
			time.Sleep(2 * dice.moment())
			began := time.Now()
			assert.NoError(t, d.Shutdown(context.Background()), "seed %d", seed)
			assert.LessOrEqual(t, time.Since(began), 20*time.Second)
			all.Wait()
			time.Sleep(time.Minute) // what the handlers have left behind ends
			report := d.Report()
			told := report.Told + report.Before.Told
			farewells := told + report.Unanswered + report.Before.Unanswered
			assert.EqualValues(t, peers, report.All()+report.Before.All(), "seed %d: %+v", seed, report)
			assert.LessOrEqual(t, told, uint64(answers), "seed %d: %+v", seed, report)
			assert.LessOrEqual(t, uint64(closes), farewells, "seed %d: %+v", seed, report)
			assert.False(t, schedulerRuns())
		})
		if t.Failed() {
			return
		}
	}
}
