package middleware

import (
	"log/slog"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// handlerEnded ends the response when its handler has returned, or panicked. It reports whether the
// caller must panic, since a client could otherwise take the body for complete.
func (x *exchange) handlerEnded(returned bool) (abort bool) {
	reset := x.connect != nil && x.connect.wasAccepted() && x.connect.handlerEnded(returned)
	if x.farewell.Load() != nil {
		x.awaitBreak(returned)
	}
	x.lock.Lock() // a farewell that is being written ends first, at the latest by the cut
	draining := x.d.draining()
	if draining || x.d.Observe != nil {
		x.SetPattern(x.req.Pattern) // of a handler that wrote no header, as reports have it
	}
	if draining && returned {
		x.flushEndLocked()
	}
	x.openMu.Lock()
	x.ended = true
	x.openMu.Unlock()
	in := x.Request()
	if in.ContentLength != 0 {
		x.closeConnIfBodyUnread()
	}
	in.Pattern = x.req.Pattern // an outer handler logs it
	if x.hijacked != nil {
		x.lock.Unlock()
		x.ReleaseContext()
		x.hijacked.done(handlerReturned) // the response lasts until its connection is closed
		return reset && returned
	}
	// net/http removes the multipart files of the request that it made, not of x.req, its copy.
	// After a hijack the handler's goroutines may still use the copy's.
	in.MultipartForm, in.Form, in.PostForm = x.req.MultipartForm, x.req.Form, x.req.PostForm
	outcome, broken := x.endLocked(returned)
	if x.d.Observe != nil && x.lastByte.Load() == 0 && returned && !broken {
		x.d.observeFirstByte(&x.Response) // net/http sends it now
	}
	x.lock.Unlock()
	x.ReleaseContext()
	x.d.end(&x.Response, outcome)
	return broken && returned
}

// endLocked ends what was written of the response as its outcome demands. It returns that, and
// whether the response is broken off.
func (x *exchange) endLocked(returned bool) (outcome tracked.Outcome, broken bool) {
	if !x.d.draining() && !x.Canceled() && x.farewell.Load() == nil && !x.wasCut.Load() {
		x.wroteNothing = !x.committed
		return tracked.Completed, false // no drain, Shed or age had a hand in it
	}
	outcome = x.outcomeLocked(returned)
	if x.mustBreakLocked(outcome, returned) {
		broken = true
		if x.Request().ProtoMajor == 1 || !x.wasCut.Load() { // else the cut has reset the HTTP/2 stream, once
			x.breakOff() // a panic alone may be recovered by an outer handler
		}
	} else {
		broken = x.writeEndLocked(outcome, returned)
	}
	comesBack := outcome == tracked.Told || outcome == tracked.Canceled && x.Kind() == policy.Infinite
	if comesBack && !broken && !x.d.draining() {
		x.closeConnOfTold()
	}
	x.wroteNothing = outcome == tracked.Completed && !x.committed
	x.hintLocked(returned)
	return outcome, broken
}

// mustBreakLocked reports whether the response has to be broken off, since net/http would end it in
// order otherwise. Over HTTP/1 every response that was cut is, so that net/http takes no other
// request from its connection.
func (x *exchange) mustBreakLocked(outcome tracked.Outcome, returned bool) bool {
	switch outcome {
	case tracked.ToldBroken:
		return true
	case tracked.Cut:
		return x.Request().ProtoMajor == 1 || !returned || !x.committed || !x.completeLocked()
	case tracked.Canceled:
		return x.committed && x.Kind() == policy.Infinite && (x.tornLocked() || x.endsBroken(0))
	}
	return false
}

// writeEndLocked writes what the drain has to say at the end of a response, before net/http ends
// it. It reports whether the response has to be broken off after that.
func (x *exchange) writeEndLocked(outcome tracked.Outcome, returned bool) (broken bool) {
	switch {
	case outcome == tracked.Told:
		x.extendWriteDeadline(0) // again: the handler may have set a deadline with each of its writes
		x.finishFarewellLocked()
	case outcome == tracked.Canceled && x.writeStatusLocked():
	case x.committed || !returned:
	case outcome == tracked.Canceled:
		broken = x.answerCanceled() // else net/http would send a 200 with an empty body
		x.drainAnswered = true
	case x.d.draining():
		x.w.Header().Set("Connection", "close")
	}
	return broken
}

// outerMayWrite reports whether a write after the handler's return can come from an outer handler,
// which answers for a handler that wrote nothing: echo, which has kept our writer, does so when a
// handler returns an error. Once the request's context has ended, only a goroutine that the handler
// has started can still write, and the wrapped writer may be in use for another request.
func (x *exchange) outerMayWrite() bool {
	return x.wroteNothing && x.Request().Context().Err() == nil
}

// Finish implements [tracked.Carrier]. A handler that waits for the rest of an upload gets an error
// from its Read, and can still answer the client.
func (x *exchange) Finish() {
	x.ifOpen(func() {
		if x.Request().ContentLength == 0 || x.bodyRead {
			return // the deadline would meet nothing but net/http's look for the next request
		}
		x.readsEnded = true
		_ = x.controller().SetReadDeadline(time.Now())
	})
	if c := x.successor(); c != nil {
		c.Finish()
	}
}

// Cut implements [tracked.Carrier].
func (x *exchange) Cut() {
	if in := x.Request(); in.ProtoMajor == 1 && in.Context().Value(connKey{}) == nil {
		x.d.warnNoConn.Do(func() {
			x.d.log(slog.LevelWarn, "a cut can't close the connection of a handler that still runs, so its client may wait until that "+
				"returns; set srv.ConnContext to Drainer.ConnContext, as Run does")
		})
	}
	x.ifOpen(func() {
		x.wasCut.Store(true)
		x.breakOff()
	})
	if c := x.successor(); c != nil {
		c.Cut()
	}
}

// breakOff makes sure that nothing more of the response reaches its client, in particular not the
// end of its body. Deadlines end a read or a write that the handler is inside of, and reset an
// HTTP/2 stream. They change nothing of an HTTP/1 connection whose handler does neither, so it is
// closed.
func (x *exchange) breakOff() {
	conn, control := x.ownConn(), x.controller()
	// A deadline that is past has HTTP/2 reset the stream at once. One that is now may do so a
	// moment later, after a panic has, and a stream is reset once (RFC 9113, section 5.1).
	past := time.Now().Add(-time.Second)
	_ = control.SetWriteDeadline(past) // not every writer has deadlines
	_ = control.SetReadDeadline(past)
	if conn == nil {
		return
	}
	x.resetHTTP10AtClose()
	_ = conn.Close()
}

// resetHTTP10AtClose makes the closing of an HTTP/1.0 connection a reset. Such a client knows the
// end of the body by the end of the connection (RFC 9112, section 6.3): only a reset tells it that
// the body is not complete.
func (x *exchange) resetHTTP10AtClose() {
	if x.Request().ProtoAtLeast(1, 1) {
		return
	}
	if l, ok := x.ownConn().(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0)
	}
}
