package middleware

import (
	"cmp"
	"log/slog"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// Hints are about responses whose kind was probably taken wrongly. They are logged once per route,
// and counted in the report.

// maxHints is how many routes a Drainer gives hints for.
const maxHints = 100

// hintLocked looks whether the response that ends was of another kind than it was taken for.
func (x *exchange) hintLocked(outcome tracked.Outcome, returned bool) {
	switch {
	case x.farewellWritten:
		f := x.farewell.Load()
		x.d.countSwallowed(f.swallowed)
		if f.swallowed > 0 && returned && !x.Canceled() {
			x.d.hint(cmp.Or(x.Pattern(), x.Route()), func(dr *drain) { dr.swallowed++ },
				"a stream's handler wrote on after its farewell and then returned by itself; if it ends by itself, give it Kind: Finite",
				"swallowed", f.swallowed)
		}
	case x.Canceled() && x.committed && !x.committedAfterCancel && x.missing == unknownLength && x.Kind() != policy.Infinite:
		x.d.hint(cmp.Or(x.Pattern(), x.Route()), func(dr *drain) { dr.streaming++ },
			"a finite response was still streaming when the drain had to cancel it; if it never ends by itself, give it Kind: Infinite")
	}
}

// countSwallowed counts bytes that a handler wrote behind its response's farewell.
func (d *Drainer) countSwallowed(bytes int64) {
	if bytes == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current != nil {
		d.current.swallowedBytes += bytes
	}
}

// hint counts a hint, and logs it if it is the first for its route.
func (d *Drainer) hint(route string, count func(*drain), msg string, args ...any) {
	d.mu.Lock()
	first := !d.hinted[route] && len(d.hinted) < maxHints
	if first {
		if d.hinted == nil {
			d.hinted = make(map[string]bool)
		}
		d.hinted[route] = true
	}
	if d.current != nil {
		count(d.current)
	}
	d.mu.Unlock()
	if first {
		d.log(slog.LevelWarn, msg, append([]any{"route", route}, args...)...)
	}
}
