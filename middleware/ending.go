package middleware

import (
	"errors"
	"net/http"
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/sse"
)

// breakGap is how long after its farewell a connection is broken at the soonest, also by a cut,
// unless the drain's time is over or Close was called. Chromium drops what arrives right before a
// break: over HTTP/2 on a loaded machine a gap of 10 ms lost 11 of 16 farewells, one of 50 ms lost
// 1, one of 200 ms none.
const breakGap = 200 * time.Millisecond

// endsBroken reports whether the response is to be broken off at its end, after a farewell with
// this WebSocket close code, or after none if that is zero. A call never is, since its status tells
// its client to come back. Else the rule's Ending decides. Where that isn't set, clients that come
// back from a clean end get one (an EventSource, and those of MCP), and so do those that are told
// to stay away. All others are broken off, since most of them take a clean end for the last word.
func (x *exchange) endsBroken(code int) bool {
	if x.isCallLocked() {
		return false
	}
	switch x.Rule().Ending {
	case policy.CleanEnding:
		return false
	case policy.BrokenEnding:
		return true
	}
	r := x.Request()
	switch {
	case code == policy.StayAway().Code, comesBackFromCleanEnd(r):
		return false
	case code != 0:
		return true
	}
	// Who asks for an event stream by POST takes a clean end for the last word as well.
	return sse.Accepts(&http.Request{Method: http.MethodGet, Header: r.Header})
}

// comesBackFromCleanEnd reports whether r's client asks again when its stream has ended cleanly.
func comesBackFromCleanEnd(r *http.Request) bool { return sse.FromEventSource(r) || format.IsMCP(r) }

// mayEndClean reports whether the response ends cleanly though its handler panics: it is a stream
// that the drain has told or canceled, and whose ending is a clean one.
func (x *exchange) mayEndClean() bool {
	x.lock.Lock()
	defer x.lock.Unlock()
	switch {
	case x.farewellWritten:
		return !x.farewell.Load().broken
	case x.hijacked != nil || !x.committed || !x.Canceled():
		return false
	}
	return (x.Kind() == policy.Infinite || x.isCallLocked()) && !x.tornLocked() && !x.endsBroken(0)
}

// tornLocked reports whether the body stops where it can't be ended in order: within a message, or
// before its declared length. net/http sees the latter over HTTP/1 only, and over HTTP/2 would send
// the end of a malformed response (RFC 9113, section 8.1.1).
func (x *exchange) tornLocked() bool {
	if x.missing != unknownLength && x.missing > 0 {
		return true
	}
	return x.body != nil && x.body.Torn()
}

// awaitBreak is called when the handler has returned or panicked, and a farewell was asked for. If
// that was written and the response is to be broken off, it waits for the rest of breakGap, or
// until the request's context ends, as it does when the client leaves and after a cut.
func (x *exchange) awaitBreak(returned bool) {
	x.lock.Lock() // a farewell that is being written ends first, at the latest by the cut
	breaks := x.farewellOutcome == tracked.ToldBroken || x.farewellOutcome == tracked.Told && !returned
	if !breaks || !x.farewellWritten || x.hijacked != nil || x.wasCut.Load() {
		x.lock.Unlock()
		return
	}
	f := x.farewell.Load()
	f.ended = true
	x.lock.Unlock()
	timer := time.NewTimer(time.Until(f.written.Add(breakGap)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.Request().Context().Done():
	}
}

// flushEndLocked flushes the end of a body whose beginning has been sent, or that was canceled.
// net/http would flush it after the response has its outcome, which would be wrong for a peer that
// doesn't read to the end. It waits until the cut at the latest. Any other short body is left to
// net/http, which sends it with its length.
func (x *exchange) flushEndLocked() {
	if x.committed && x.hijacked == nil && !x.farewellWritten && x.unflushed > 0 && (x.lastByte.Load() != 0 || x.Canceled()) {
		if err := x.controller().Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			x.failed = true
		}
	}
}

// outcomeLocked returns how the response ended. The handler must have returned, or panicked.
func (x *exchange) outcomeLocked(returned bool) tracked.Outcome {
	switch {
	case x.farewellWritten:
		return x.toldOutcomeLocked(returned)
	case x.wasCut.Load():
		return tracked.Cut
	case returned && x.d.draining() && x.RefusedByHandler():
		return tracked.Refused
	case !x.Canceled():
		return tracked.Completed
	case x.Kind() == policy.Infinite || !x.committed:
		return tracked.Canceled
	case !returned || !x.completeLocked() && !x.lacksStatusLocked():
		return tracked.Cut
	case x.committedAfterCancel || x.CancelSeen() || !x.completeLocked():
		return tracked.Canceled
	}
	return tracked.Completed // its handler ended it without knowing of the cancel
}

// toldOutcomeLocked is outcomeLocked for a response whose farewell was written.
func (x *exchange) toldOutcomeLocked(returned bool) tracked.Outcome {
	f, outcome := x.farewell.Load(), x.farewellOutcome
	if x.wasCut.Load() {
		if f.ended && outcome == tracked.ToldBroken {
			return outcome // the cut came while awaitBreak waited
		}
		return tracked.Cut
	}
	if outcome == tracked.Told && !returned {
		if !f.inBody {
			return tracked.Cut // what was to be told comes when the handler has returned
		}
		outcome = tracked.ToldBroken // net/http breaks the connection
	}
	// A writer that has only Flush loses the error that the farewell meets when the client has
	// left.
	if x.Request().Context().Err() != nil && !reaches[interface{ FlushError() error }](x.w) {
		return tracked.Completed
	}
	return outcome
}

// completeLocked reports whether the body is known to be complete. The handler must have returned.
// One without a declared length is, if every write succeeded, and if its handler began it after the
// cancel, or can't have broken it off because of the cancel, which it doesn't know of. A call's is,
// if it has its status.
func (x *exchange) completeLocked() bool {
	if x.missing != unknownLength {
		return x.missing <= 0
	}
	if x.failed || x.wasCut.Load() {
		return false
	}
	if call, ok := x.body.(format.Call); ok {
		return call.Ended(x.w.Header())
	}
	return x.committedAfterCancel || !x.CancelSeen() && !x.readsEnded
}
