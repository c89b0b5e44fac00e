package middleware

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
)

const (
	watchServing  = time.Second            // from one report of Watch to the next while nothing drains
	watchDraining = 100 * time.Millisecond // the same during a drain
	watchCost     = 50                     // the next is due after so many times as long as the last one took
)

// Watch yields reports: one at once, one whenever a drain begins, is over or is taken back, and
// otherwise one a second while serving and ten a second while draining. Where many responses are
// open there are fewer: all watchers together take up a fiftieth of one core's time at most. Watch
// ends when ctx does, after the report of a drain that is over and final, or when the caller breaks
// the loop.
//
//	for r := range d.Watch(ctx) {
//		fmt.Printf("\r%s: %d open", r.Phase, r.Open.All())
//	}
//
// It runs on the caller's goroutine, and starts none. A caller that is slow holds up nobody and
// gets fewer reports. Watchers share reports, so what a Report refers to must not be changed.
func (d *Drainer) Watch(ctx context.Context) iter.Seq[Report] {
	return func(yield func(Report) bool) {
		d.init()
		timer := time.NewTimer(0)
		defer timer.Stop()
		for ctx.Err() == nil {
			// The state is read before the report is made: what changes after it closes a channel.
			began, current := d.state()
			over := current != nil && isClosed(current.done)
			report, wait := d.sharedReport(current, over)
			if !yield(report) {
				return
			}
			var changed, takenBack <-chan struct{}
			switch final := isClosed(d.madeFinal); {
			case current == nil:
				changed = began
			case !over:
				changed, takenBack = current.done, current.takenBack
			case !final:
				changed, takenBack = d.madeFinal, current.takenBack
			case report.Phase == Done:
				return
			default: // it was taken back, and another drain is final
				continue
			}
			timer.Reset(wait)
			select {
			case <-ctx.Done():
			case <-changed:
			case <-takenBack:
			case <-timer.C:
			}
		}
	}
}

// state returns the channel that is closed when a drain begins, and the current drain, if any.
func (d *Drainer) state() (began <-chan struct{}, current *drain) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.drainBegan, d.current
}

// sharedReport returns a report for watchers of a drain, which is over or not, and how long to wait
// until the next. What was made within that time is given to all watchers, unless the drain has
// begun or ended since.
func (d *Drainer) sharedReport(of *drain, over bool) (r Report, wait time.Duration) {
	w := &d.watched
	w.Lock()
	defer w.Unlock()
	now := time.Now()
	if w.of != of || w.over != over || !now.Before(w.next) {
		gap := watchServing
		if of != nil && !over {
			gap = watchDraining
		}
		w.of, w.over, w.report = of, over, d.Report()
		w.next = now.Add(max(gap, watchCost*time.Since(now)))
	}
	return w.report, max(0, time.Until(w.next))
}

// ErrTakenBack is what [Drainer.Wait] returns when [Drainer.Resume] takes the drain back.
var ErrTakenBack = errors.New("middleware: Wait: the drain was taken back")

// Wait waits until a drain is over, whoever begins it and when. It returns nil or an
// [*IncompleteError], as [Drainer.Shutdown] does, [ErrTakenBack], or an error that wraps that of
// ctx, whose end ends only the waiting. The handler of a preStop hook begins a drain and waits for
// it:
//
//	mux.HandleFunc("POST /drain", func(w http.ResponseWriter, r *http.Request) {
//		d.Drain()
//		if err := d.Wait(r.Context()); err != nil {
//			http.Error(w, err.Error(), http.StatusInternalServerError)
//		}
//	})
//
// The drain doesn't wait for a response whose handler waits for the drain: where ctx is that of a
// request which d tracks, or made from it, the response counts as completed from here on, and is
// neither canceled nor cut. A second request to that handler comes too late, and is refused, unless
// its rule has Admit or it is mounted outside of [Graceful].
func (d *Drainer) Wait(ctx context.Context) error {
	d.init()
	if own := tracked.From(ctx); own.In(&d.registry) {
		own.WatchEnd() // has the scheduler take it from its queue
		d.endObserved(own, tracked.Completed)
	}
	began, current := d.state()
	for current == nil {
		select {
		case <-began:
		case <-ctx.Done():
			return fmt.Errorf("middleware: Wait: no drain has begun: %w", ctx.Err())
		}
		began, current = d.state() // nil again, if it was taken back at once
	}
	select {
	case <-current.done:
		return d.errorOf(current, nil)
	case <-current.takenBack:
		return ErrTakenBack
	case <-ctx.Done():
		return fmt.Errorf("middleware: Wait: the drain is not over: %w", ctx.Err())
	}
}
