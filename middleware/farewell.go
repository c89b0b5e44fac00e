package middleware

import (
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// A farewell is what a client is to be told.
type farewell struct {
	policy.Farewell
	retry time.Duration // the client's reconnect slot
	err   error         // why it was not written to its end; guarded by the exchange's lock
}

// Farewell implements [tracked.Carrier].
func (x *exchange) Farewell(f policy.Farewell, retry time.Duration) {
	x.farewell.Store(&farewell{Farewell: f.Expand(retry), retry: retry})
	x.pending.Store(true)
	x.flushPending()
	if c := x.Carrier(); c != tracked.Carrier(x) { // the connection was hijacked a moment ago
		c.Farewell(f, retry)
	}
}

// DropMessage implements [tracked.Carrier]. In a body a farewell is written as a whole or not at
// all.
func (x *exchange) DropMessage() {}

// writeFarewellIfDue writes the farewell if one is asked for and the body is at a boundary. The
// lock must be held.
func (x *exchange) writeFarewellIfDue() {
	if x.farewell.Load() != nil && !x.ended && x.hijacked == nil && x.body != nil && x.body.AtBoundary() {
		x.writeFarewell()
	}
}

// writeFarewell writes the farewell, unless the response has become one that gets none. The lock
// must be held, and the body be at a boundary.
func (x *exchange) writeFarewell() {
	f := x.farewell.Load()
	if f == nil || x.farewellWritten || x.wasCut.Load() {
		return
	}
	if !x.BeginFarewell() {
		x.farewell.CompareAndSwap(f, nil) // unless it has been asked for again
		return
	}
	x.farewellWritten = true
	x.farewell.Store(f) // in place of one that was asked for meanwhile
	x.ifOpen(x.extendWriteDeadline)
	if text := x.body.AppendFarewell(nil, f.Farewell, f.retry); len(text) > 0 {
		var n int
		if n, f.err = x.w.Write(text); n > 0 {
			x.touch()
		}
	}
	if err := x.control().Flush(); f.err == nil && !errors.Is(err, http.ErrNotSupported) {
		f.err = err
	}
}

// writeAroundFarewellLocked writes p, with the farewell at the first boundary in it. What comes
// after the farewell is swallowed.
func (x *exchange) writeAroundFarewellLocked(p []byte) (int, error) {
	end := x.body.Boundary(p)
	if end < 0 {
		return x.writeThroughLocked(p)
	}
	if n, err := x.writeThroughLocked(p[:end]); err != nil {
		return n, err
	}
	if x.writeFarewell(); x.farewellWritten {
		return len(p), nil
	}
	n, err := x.writeThroughLocked(p[end:])
	return end + n, err
}

// extendWriteDeadline puts the moment of the cut in place of the handler's write deadline, which
// may be long past: nothing is written after this but the end of the body. A cut must not be
// possible meanwhile.
func (x *exchange) extendWriteDeadline() {
	if !x.wasCut.Load() {
		m, _ := x.Moments()
		_ = x.control().SetWriteDeadline(m.Cut)
	}
}

// farewellOutcome returns how a response ended whose farewell was written. The lock must be held.
func (x *exchange) farewellOutcome() tracked.Outcome {
	switch err := x.farewell.Load().err; {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return tracked.Cut
	case err != nil:
		return tracked.Completed // the client has left
	}
	return tracked.Told
}
