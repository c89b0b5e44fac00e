package middleware

import (
	"cmp"
	"log/slog"

	"github.com/lastcall-go/lastcall/policy"
)

// maxHints is how many routes a Drainer gives hints for.
const maxHints = 100

// hintLocked gives a hint if the response, which ends now, was probably of another kind than the
// drain took it for.
func (x *exchange) hintLocked(returned bool) {
	switch {
	case x.farewellWritten:
		swallowed := x.farewell.Load().swallowed
		x.d.countSwallowed(swallowed)
		if swallowed > 0 && returned && !x.Canceled() {
			x.hint(func(dr *drain) { dr.swallowed++ },
				"a stream's handler wrote on after its farewell and then returned by itself; if it ends by itself, give it Kind: Finite",
				"swallowed", swallowed)
		}
	case x.Canceled() && x.committed && !x.committedAfterCancel && x.missing == unknownLength && x.Kind() != policy.Infinite:
		// It had begun a body without a declared length before it was canceled.
		x.hint(func(dr *drain) { dr.streaming++ },
			"a finite response was still streaming when the drain had to cancel it; if it never ends by itself, give it Kind: Infinite")
	}
}

// hint counts a hint for the report, and logs it if it is the first for the response's route.
func (x *exchange) hint(count func(*drain), msg string, args ...any) {
	d, route := x.d, cmp.Or(x.Pattern(), x.Route())
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
