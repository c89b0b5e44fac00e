package middleware_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A slowLog takes its time over the log line on a drain's progress, and so does the drain, as it
// does on a busy machine.
type slowLog struct {
	slog.Handler
	takes time.Duration
}

func (slowLog) Enabled(context.Context, slog.Level) bool { return true }

func (d slowLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "draining" {
		time.Sleep(d.takes)
	}
	return nil
}

// A drain that comes late to a farewell, by more than half of the mercy, still waits until it is
// written before it cancels.
func TestLateFarewellsComeBeforeTheCancel(t *testing.T) {
	const streams = 400 // over 2 s: every 5 ms one
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{
			Policy: policy.Rule{Spread: 2 * time.Second, Timeout: policy.AtOnce, Mercy: 100 * time.Millisecond},
			Logger: slog.New(slowLog{slog.DiscardHandler, 90 * time.Millisecond}),
		}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			stream.OnFarewell(r.Context(), func(time.Duration) (f policy.Farewell) {
				time.Sleep(time.Millisecond) // nor is a processor free for it at once
				return f
			})
			ticks(nil)(w, r)
		}))
		got := make(chan string, streams)
		for range streams {
			body := r.open("/").Body
			go func() {
				b, err := io.ReadAll(body)
				assert.NoError(t, err)
				got <- string(b)
			}()
		}
		r.drain()
		for range streams {
			assert.Equal(t, 1, strings.Count(<-got, "event: shutdown\n"))
		}
		_, err := r.end()
		assert.NoError(t, err)
		assert.EqualValues(t, streams, told(d.Report()))
	})
}

// A stream that is told late has the time that follows its farewell all the same, as far as the
// drain has it.
func TestLateFarewellKeepsTheTimeThatFollowsIt(t *testing.T) {
	for name, c := range map[string]struct {
		work   time.Duration
		cancel time.Duration
	}{
		"with time to spare": {20 * time.Second, 8 * time.Second},
		"with little left":   {7500 * time.Millisecond, 6750 * time.Millisecond}, // 5 s and 1 s in 4.5 s
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{
					Policy: policy.Rule{Grace: 1500 * time.Millisecond, Timeout: 5 * time.Second, Mercy: time.Second},
					Budget: policy.Budget{Total: c.work + time.Second, Reserve: time.Second},
					Logger: slog.New(slowLog{slog.DiscardHandler, 2 * time.Second}), // from 1 s to 3 s
				}
				deadline := make(chan time.Time, 1)
				r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					_, _ = io.WriteString(w, hello)
					w.(http.Flusher).Flush()
					<-stream.Draining(r.Context())
					at, _ := stream.Deadline(r.Context())
					deadline <- at
				}))
				end := r.watch("/")
				r.drain()
				assert.Equal(t, c.cancel, (<-deadline).Sub(r.began))
				assert.True(t, (<-end).told())
				_, err := r.end()
				assert.NoError(t, err)
			})
		})
	}
}
