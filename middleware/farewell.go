package middleware

import (
	"cmp"
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// A farewell is what the client of a stream is told, and how its response ends after that.
type farewell struct {
	policy.Farewell
	retry time.Duration // the client's reconnect slot
	begun bool          // it is being written, or was; never changed

	// Guarded by the exchange's lock.
	written   time.Time
	inBody    bool  // all of it was sent, as bytes of the body
	broken    bool  // the ending is to be a broken one
	swallowed int64 // bytes that the handler wrote after it
	ended     bool  // the handler has returned or panicked after it, before any cut
}

// Farewell implements [tracked.Carrier].
func (x *exchange) Farewell(f policy.Farewell, retry time.Duration) {
	next := &farewell{Farewell: f.Expand(retry), retry: retry}
	for {
		last := x.farewell.Load()
		if last != nil && last.begun || x.farewell.CompareAndSwap(last, next) {
			break
		}
	}
	x.pending.Store(true)
	x.flushPending()
	if c := x.successor(); c != nil {
		c.Farewell(f, retry)
	}
}

// DropMessage implements [tracked.Carrier]: a farewell in a body always has its message.
func (x *exchange) DropMessage() {
	if c := x.successor(); c != nil {
		c.DropMessage()
	}
}

// writeFarewellIfDueLocked writes the farewell if the body is at a boundary, or if the farewell can
// be the whole answer.
func (x *exchange) writeFarewellIfDueLocked() {
	if x.ended || x.hijacked != nil {
		return
	}
	if x.body != nil && x.body.AtBoundary() || x.isUnansweredCallLocked() {
		x.writeFarewellLocked()
	}
}

// writeFarewellLocked writes the farewell, unless the response has become one that gets none. There
// must be a place for it, see writeFarewellIfDueLocked. The part of it that comes behind the body
// is written when the handler has returned, by finishFarewellLocked.
func (x *exchange) writeFarewellLocked() {
	f := x.farewell.Load()
	if f == nil || x.farewellWritten || x.wasCut.Load() {
		return
	}
	if !x.BeginFarewell() {
		x.farewell.CompareAndSwap(f, nil) // unless it has been asked for again
		return
	}
	x.farewellWritten = true
	f = &farewell{Farewell: f.Farewell, retry: f.retry, begun: true}
	x.farewell.Store(f) // in place also of another one that was asked for just now
	x.ifOpen(func() { x.extendWriteDeadline(time.Second) })
	var text []byte
	var err error
	if x.body != nil {
		text = x.body.AppendFarewell(nil, f.Farewell, f.retry)
		err = errPanicked
		// A writer of the program's may panic, and x.lock must be given back all the same.
		x.d.guard("writing a farewell", func() { err = x.sendFarewellLocked(text) })
	}
	f.written, f.inBody = time.Now(), err == nil && len(text) > 0
	if len(text) > 0 {
		f.broken = x.endsBroken(f.Code)
	} else {
		f.broken = x.endsBroken(0)
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		x.farewellOutcome = tracked.Cut
	case err != nil:
		x.farewellOutcome = tracked.Completed // the client has left
	case len(text) == 0 && !x.isCallLocked():
		x.farewellOutcome = tracked.Canceled
	case f.broken:
		x.farewellOutcome = tracked.ToldBroken
	default:
		x.farewellOutcome = tracked.Told
	}
}

var errPanicked = errors.New("middleware: the wrapped ResponseWriter panicked")

func (x *exchange) sendFarewellLocked(text []byte) (err error) {
	if len(text) > 0 {
		var n int
		if n, err = x.w.Write(text); n > 0 {
			x.sentLocked()
		}
	}
	if flushErr := x.controller().Flush(); !errors.Is(flushErr, http.ErrNotSupported) {
		err = cmp.Or(err, flushErr)
	}
	return err
}

// writeAroundFarewellLocked writes p, with the farewell at the first boundary in it. What comes
// after the farewell is swallowed.
func (x *exchange) writeAroundFarewellLocked(p []byte) (int, error) {
	end := x.body.Boundary(p)
	if end < 0 {
		if x.Canceled() && !x.committedAfterCancel && x.Kind() == policy.Infinite {
			return 0, errCanceled
		}
		return x.writeThroughLocked(p)
	}
	if n, err := x.writeThroughLocked(p[:end]); err != nil {
		return n, err
	}
	if x.writeFarewellLocked(); x.farewellWritten {
		x.farewell.Load().swallowed += int64(len(p) - end)
		return len(p), nil
	}
	n, err := x.writeThroughLocked(p[end:])
	return end + n, err
}

// extendWriteDeadline replaces the handler's write deadline, which may be past, by one that long
// after the cut, and at least a second from now, since a drain that is late may be past its cut.
// Over HTTP/2 a deadline before the cut, which may be put off, would reset the stream and then so
// would the cut. It must not run at the same time as Cut, whose deadline it would replace.
func (x *exchange) extendWriteDeadline(afterCut time.Duration) {
	if !x.wasCut.Load() {
		m, _ := x.Moments()
		deadline, cut := time.Now().Add(time.Second), m.Cut.Add(afterCut)
		if cut.After(deadline) {
			deadline = cut
		}
		_ = x.controller().SetWriteDeadline(deadline)
	}
}
