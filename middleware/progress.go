package middleware

import (
	"log/slog"
	"runtime"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

const (
	// maxLongest is how many of the responses that hold up a drain the log and reports name.
	maxLongest = 3
	// nameAfter is how long after the announcement the log begins to name them.
	nameAfter = 5 * time.Second
	// lateAfter is how long after its context was canceled a handler is located that still runs:
	// maxLocated handlers at once, maxLooks times in a drain.
	lateAfter  = time.Second
	maxLocated = 4
	maxLooks   = 4
)

// logProgress is called every second of a drain. It logs what is open and, once the drain takes
// long, which responses hold it up. It also has the handlers located that have not returned though
// they were canceled.
func (s *scheduler) logProgress(now time.Time) {
	d, dr := s.d, s.drain
	open := d.registry.Open()
	if d.Logger != nil {
		attrs := append(tally(open).attrs(), "left", dr.end().Sub(now).Round(time.Millisecond))
		if dr.plan != nil && now.Sub(dr.start) >= nameAfter {
			attrs = append(attrs, "waiting", summary(d.infos(longest(open, maxLongest)), len(open)))
		}
		d.log(slog.LevelInfo, "draining", attrs...)
	}
	if dr.plan == nil {
		return
	}
	var late []*tracked.Response
	for _, r := range open {
		if !r.Canceled() {
			continue
		}
		m, _ := r.Moments()
		if _, located := d.placeOf(r); !located && now.Sub(m.Cancel) >= lateAfter {
			late = append(late, r)
		}
	}
	if len(late) > 0 && dr.looks < maxLooks && runtime.NumGoroutine() <= maxGoroutines {
		dr.looks++
		late = longest(late, maxLocated)
		for _, r := range late {
			d.setPlace(dr, r, place{}) // found or not, it is located once
		}
		s.workers.apart(func() { d.locate(dr, late) })
	}
}

// locate finds out where the handlers of late responses wait, for reports and the log.
func (d *Drainer) locate(dr *drain, late []*tracked.Response) {
	stacks := takeStacks()
	for _, r := range late {
		p := findHandler(stacks, r)
		if p.lines == "" {
			continue
		}
		d.setPlace(dr, r, p)
		i := d.info(r)
		d.log(slog.LevelWarn, "a handler has not returned since its context was canceled",
			append([]any{"route", i.Route, "age", i.Age}, p.attrs()...)...)
	}
}

// setPlace records where a response's handler was found, unless the drain is over.
func (d *Drainer) setPlace(dr *drain, r *tracked.Response, p place) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if dr.places != nil {
		dr.places[r] = p
	}
}

// placeOf returns where a response's handler was found, and reports whether it was looked for.
func (d *Drainer) placeOf(r *tracked.Response) (p place, located bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current != nil {
		p, located = d.current.places[r]
	}
	return p, located
}

// longest returns the n responses that hold up a drain the longest: those first that ignore their
// canceled context, then the finite ones, whose end is theirs, then streams, and the oldest of
// each.
func longest(open []*tracked.Response, n int) []*tracked.Response {
	var canceled, finite, streams []*tracked.Response // the n oldest of each, in order
	for _, r := range open {
		oldest := &streams
		switch {
		case r.Canceled():
			oldest = &canceled
		case r.Kind() != policy.Infinite:
			oldest = &finite
		}
		if at, _ := slices.BinarySearchFunc(*oldest, r, (*tracked.Response).CompareBegan); at < n {
			*oldest = slices.Insert(*oldest, at, r)
			*oldest = (*oldest)[:min(n, len(*oldest))]
		}
	}
	all := slices.Concat(canceled, finite, streams)
	return all[:min(n, len(all))]
}
