package endings

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/stream"
)

// A chore is what a handler leaves behind for Drainer.Go.
type chore struct {
	lasts   time.Duration
	ignores bool // the end of its context
	panics  bool // in the end

	mu       sync.Mutex // guards following
	asked    bool
	err      error // of Go
	runs     int
	response *tracked.Response
	began    time.Time
	ended    time.Time
	canceled bool // it saw that
}

// handOver gives a chore to the Drainer.
func (ro *round) handOver(c *chore, r *http.Request) {
	ro.seen.Add(1)
	ro.handlers.Add(1)
	err := ro.d.Go(r.Context(), func(ctx context.Context) {
		ro.inside.Add(1)
		defer ro.handlers.Done()
		defer ro.inside.Add(-1)
		c.run(ctx)
	})
	if err != nil {
		ro.handlers.Done()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked, c.err = true, err
}

func (c *chore) run(ctx context.Context) {
	timer := time.NewTimer(c.lasts)
	defer timer.Stop()
	c.mu.Lock()
	c.runs++
	c.response, c.began = tracked.From(ctx), time.Now()
	c.mu.Unlock()
	done := ctx.Done()
	if c.ignores {
		done = nil
	}
	canceled := false
	select {
	case <-timer.C:
	case <-done:
		canceled = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended, c.canceled = time.Now(), canceled
	if canceled && !errors.Is(context.Cause(ctx), stream.ErrDraining) {
		c.err = context.Cause(ctx)
	}
	if c.panics {
		panic("a task's panic")
	}
}

// judge says what contradicts, and how the chore has ended, where it was asked for.
func (c *chore) judge(over time.Time) (outcome tracked.Outcome, fault string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.runs == 0 {
		return tracked.Refused, must(errors.Is(c.err, stream.ErrDraining), "a task that neither ran nor was refused")
	}
	outcome, ended := c.response.Outcome()
	whole := !c.canceled && c.ended.Sub(c.began) >= c.lasts
	switch {
	case c.err != nil:
		return outcome, "a task's error: " + c.err.Error()
	case !ended || c.runs > 1:
		return outcome, "a task without an outcome, or that ran twice"
	case outcome == tracked.Completed:
		return outcome, must(whole, "a task completed, but it didn't last")
	case outcome == tracked.Canceled:
		return outcome, must(c.response.Canceled(), "a task canceled, but it wasn't")
	case outcome == tracked.Cut:
		return outcome, must(c.ignores && !c.ended.Before(over), "a task given up that had ended")
	}
	return outcome, "a task that was told"
}
