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
	watchServing  = time.Second            // between two reports of Watch while nothing drains
	watchDraining = 100 * time.Millisecond // between two while something does
	watchShare    = 50                     // of the time that Watch may take up with reports
)

// Watch yields reports: one at once, one when a drain begins, is over or is taken back, and between
// these one a second while serving and ten a second while draining. Where many responses are open
// there are fewer: Watch takes up a fiftieth of one core's time at most, however many watch. It ends
// when ctx does, behind the report of a drain that is over and final, or when the caller breaks the
// loop.
//
//	for r := range d.Watch(ctx) {
//		fmt.Printf("\r%s: %d open", r.Phase, r.Open.All())
//	}
//
// It runs on the caller's goroutine, and starts none. A caller that is slow holds up nobody and gets
// fewer reports. Watchers share reports, so what a Report refers to must not be changed.
func (d *Drainer) Watch(ctx context.Context) iter.Seq[Report] {
	return func(yield func(Report) bool) {
		d.init()
		timer := time.NewTimer(0)
		defer timer.Stop()
		for ctx.Err() == nil {
			// Asked for before the report, so that nothing that comes behind it is missed.
			began, dr := d.state()
			report, wait := d.sharedReport(dr)
			if !yield(report) {
				return
			}
			var done, takenBack <-chan struct{}
			if dr != nil {
				began, done, takenBack = nil, dr.done, dr.takenBack
				if isClosed(dr.done) {
					if report.Phase == Done && isClosed(d.madeFinal) {
						return
					}
					done = nil // it is final, or taken back, next
				}
			}
			madeFinal := d.madeFinal
			if done != nil || isClosed(madeFinal) {
				madeFinal = nil
			}
			timer.Reset(wait)
			select {
			case <-ctx.Done():
			case <-began:
			case <-done:
			case <-takenBack:
			case <-madeFinal:
			case <-timer.C:
			}
		}
	}
}

// state returns the channel that is closed when a drain begins, and the current one.
func (d *Drainer) state() (began <-chan struct{}, current *drain) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.drainBegan, d.current
}

// sharedReport returns a report for watchers of dr, and how long to wait until the next. What has
// been made within that time is given to all, unless the drain has begun or ended since.
func (d *Drainer) sharedReport(dr *drain) (r Report, wait time.Duration) {
	d.watch.Lock()
	defer d.watch.Unlock()
	now := time.Now()
	over := dr != nil && isClosed(dr.done)
	if s := &d.watched; s.of != dr || s.over != over || !now.Before(s.next) {
		r := d.Report()
		wait := watchServing
		if dr != nil && !over {
			wait = watchDraining
		}
		took := time.Since(now)
		*s = sharedReport{of: dr, over: over, report: r, next: now.Add(max(wait, watchShare*took))}
	}
	return d.watched.report, max(0, time.Until(d.watched.next))
}

// A sharedReport is what watchers were given last.
type sharedReport struct {
	of     *drain
	over   bool
	report Report
	next   time.Time // when another one may be made
}

// ErrTakenBack is what [Drainer.Wait] returns when [Drainer.Resume] takes the drain back.
var ErrTakenBack = errors.New("middleware: Wait: the drain was taken back")

// Wait waits until a drain is over, whoever begins it and when: that of a preStop hook begins it and
// waits. Its error is nil or an [*IncompleteError], as that of [Drainer.Shutdown], [ErrTakenBack], or
// one that wraps that of ctx, whose end ends nothing but the waiting.
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
		own.WatchEnd()
		d.endObserved(own, tracked.Completed)
	}
	began, dr := d.state()
	for dr == nil {
		select {
		case <-began:
		case <-ctx.Done():
			return fmt.Errorf("middleware: Wait: no drain has begun: %w", ctx.Err())
		}
		began, dr = d.state() // nil again, if it was taken back at once
	}
	select {
	case <-dr.done:
		return d.errorOf(dr, nil)
	case <-dr.takenBack:
		return ErrTakenBack
	case <-ctx.Done():
		return fmt.Errorf("middleware: Wait: the drain is not over: %w", ctx.Err())
	}
}
