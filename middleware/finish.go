package middleware

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// finish ends the response when its handler has returned, or panicked. It reports whether the body
// has to be broken off because it could pass for whole.
func (x *exchange) finish(returned bool) (abort bool) {
	if s := x.connect; s != nil && s.accepted.Load() {
		abort = s.handlerEnded(returned)
	}
	x.lock.Lock() // a farewell that is being written ends first, at the latest by the cut
	x.openMu.Lock()
	x.ended = true
	x.openMu.Unlock()
	if x.hijacked != nil {
		x.lock.Unlock()
		x.ReleaseContext()
		x.hijacked.holderLeft() // the response lasts until its connection is closed
		return abort && returned
	}
	x.copyBack()
	outcome := x.outcome()
	switch {
	case outcome == tracked.Cut && x.committed && !x.whole():
		abort = true
		x.abort() // a panic alone may be recovered by an outer handler
	case outcome == tracked.Told:
		x.extendWriteDeadline() // again: the handler may have set a deadline with each of its writes
	case x.committed || !returned:
	case outcome == tracked.Canceled:
		x.replyRetryLater() // net/http would make an empty 200 of this, which is false
		x.answered = true
	case x.d.draining():
		x.w.Header().Set("Connection", "close")
	}
	if (outcome == tracked.Told || outcome == tracked.Canceled) && !x.d.draining() {
		x.closeAfterReply()
	}
	x.silent = outcome == tracked.Completed && !x.committed
	x.lock.Unlock()
	x.ReleaseContext()
	x.d.end(&x.Response, outcome)
	return abort && returned
}

// copyBack gives the caller what the handler learned of the request: net/http removes the multipart
// files of the request that it made, not of our copy, and an outer handler logs the pattern.
func (x *exchange) copyBack() {
	in := x.Request()
	in.MultipartForm, in.Form, in.PostForm, in.Pattern = x.req.MultipartForm, x.req.Form, x.req.PostForm, x.req.Pattern
}

// closeAfterReply has net/http close the connection behind a stream that was told while the server
// goes on: a client that came back over it would reach this same replica. The response's header,
// which could have said so, went out long ago. A connection of HTTP/2 has other streams on it, and
// stays.
func (x *exchange) closeAfterReply() {
	conn := x.ownConn()
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if r, ok := conn.(interface{ CloseRead() error }); ok {
		_ = r.CloseRead() // net/http takes the end of its next read for the client's leaving
	}
}

// ownConn returns the connection, where it is HTTP/1's and known to us, so that it has nothing on
// it but this response; else nil.
func (x *exchange) ownConn() net.Conn {
	ctx := x.Request().Context()
	// An outer http.TimeoutHandler that has timed out has replied, and the connection may be at its
	// next request.
	timedOut := ctx.Err() == context.DeadlineExceeded && fmt.Sprintf("%T", innermost(x.w)) == "*http.timeoutWriter"
	if x.Request().ProtoMajor != 1 || timedOut {
		return nil
	}
	conn, _ := ctx.Value(connKey{}).(net.Conn)
	return conn
}

// outcome returns how the response ended whose handler has returned. The lock must be held.
func (x *exchange) outcome() tracked.Outcome {
	switch {
	case x.wasCut.Load():
		return tracked.Cut
	case x.farewellWritten:
		return x.farewellOutcome()
	case !x.Canceled():
		return tracked.Completed
	case x.committed && x.Kind() != policy.Infinite && !x.whole() && !x.isCancelReply():
		return tracked.Cut
	}
	return tracked.Canceled
}

// whole reports whether the body is known to be complete. The lock must be held.
func (x *exchange) whole() bool {
	return x.declared >= 0 && x.written >= x.declared
}

// isCancelReply reports whether what was written is the handler's reply to being canceled, and not
// the beginning of what it had set out to write: it began only then, and is an error or was put
// together in one piece. The lock must be held.
func (x *exchange) isCancelReply() bool {
	return x.afterCancel && (x.status >= http.StatusBadRequest || !x.flushed && x.written <= netHTTPBuffer)
}

// outerMayWrite reports whether what is written now comes from an outer handler, which answers in
// place of one that has returned without a word: echo does so when an error comes back to it, and
// has kept our writer. That is none of the drain's concern. Once the request's context has ended,
// nobody can write any more but a goroutine that the handler has left behind, and the wrapped
// writer may be inside another request's. The handler must have returned.
func (x *exchange) outerMayWrite() bool {
	return x.silent && x.Request().Context().Err() == nil
}

// Finish implements [tracked.Carrier]. The handler's return ends the response; one that waits for
// the rest of an upload gets an error in its place, so that its client can still be answered.
func (x *exchange) Finish() {
	if x.Kind() != policy.Infinite {
		x.ifOpen(func() { _ = x.control().SetReadDeadline(time.Now()) })
	}
}

// Cut implements [tracked.Carrier].
func (x *exchange) Cut() {
	if in := x.Request(); in.ProtoMajor == 1 && in.Context().Value(connKey{}) == nil {
		x.d.warnNoConn.Do(func() {
			x.d.log(slog.LevelWarn, "a cut can't close the connection under its handler, and its client may hear of nothing until "+
				"that returns; set srv.ConnContext to the Drainer's, as Run does")
		})
	}
	x.ifOpen(func() {
		x.wasCut.Store(true)
		x.abort()
	})
}

// abort makes sure that nothing more of the response reaches its client, the end of its body least
// of all. The deadlines free a handler that is inside a read or a write, and reset an HTTP/2
// stream. They leave an HTTP/1 connection open under a handler that does neither, so that one is
// closed, where [Drainer.ConnContext] has shown it to us.
func (x *exchange) abort() {
	conn, control := x.ownConn(), x.control()
	now := time.Now()
	_ = control.SetWriteDeadline(now) // not every writer has deadlines
	_ = control.SetReadDeadline(now)
	if conn == nil {
		return
	}
	if !x.Request().ProtoAtLeast(1, 1) {
		// An HTTP/1.0 client knows the end of the body by the end of the connection (RFC 9112,
		// section 6.3): only a reset tells it that the body is not complete.
		resetOnClose(conn)
	}
	closeHard(conn)
}

func resetOnClose(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if l, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0)
	}
}

// closeHard closes a connection without TLS's own goodbye, which would wait up to five seconds for
// a peer that doesn't read.
func closeHard(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	_ = c.Close()
}
