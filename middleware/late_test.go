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

// A dawdler is a log that takes its time over the line on a drain's progress, and
// so does the drain, as it does on a machine that is busy.
type dawdler struct {
	slog.Handler
	takes time.Duration
}

func (dawdler) Enabled(context.Context, slog.Level) bool { return true }

func (d dawdler) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "draining" {
		time.Sleep(d.takes)
	}
	return nil
}

// A drain that comes late to a farewell, by more than half of the mercy, still
// waits until it is said before it cancels.
func TestLateFarewellIsSaid(t *testing.T) {
	const streams = 400 // over 2 s: every 5 ms one
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{
			Policy: policy.Rule{Spread: 2 * time.Second, Timeout: policy.AtOnce, Mercy: 100 * time.Millisecond},
			Logger: slog.New(dawdler{slog.DiscardHandler, 90 * time.Millisecond}),
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
			body := r.get("/").Body
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
