package middleware

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// handlerEnded ends the response when its handler has returned, or panicked. It reports whether the
// caller must panic because the body could pass for whole.
func (x *exchange) handlerEnded(returned bool) (abort bool) {
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
		x.hijacked.done() // the response lasts until its connection is closed
		return abort && returned
	}
	// net/http removes the multipart files of the request that it made, not of our copy, and an
	// outer handler logs the pattern.
	in := x.Request()
	in.MultipartForm, in.Form, in.PostForm, in.Pattern = x.req.MultipartForm, x.req.Form, x.req.PostForm, x.req.Pattern
	outcome := x.outcomeLocked()
	switch {
	case outcome == tracked.Cut && x.committed && !x.completeLocked():
		abort = true
		x.breakOff() // a panic alone may be recovered by an outer handler
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

// closeAfterReply has net/http close an HTTP/1 connection whose client was told to come back while
// the server goes on: over it the client would reach this same replica. The response's header,
// which could have said so, is already out.
func (x *exchange) closeAfterReply() {
	if r, ok := x.ownConn().(interface{ CloseRead() error }); ok {
		_ = r.CloseRead() // net/http takes the end of its next read for the client's leaving
	}
}

// ownConn returns the connection, TLS's inner one, if nothing is on it but this response: if it is
// HTTP/1's and [Drainer.ConnContext] has shown it to us. Else it returns nil.
func (x *exchange) ownConn() net.Conn {
	ctx := x.Request().Context()
	// An outer http.TimeoutHandler that has timed out has replied, and the connection may be at its
	// next request.
	timedOut := ctx.Err() == context.DeadlineExceeded && fmt.Sprintf("%T", innermost(x.w)) == "*http.timeoutWriter"
	if x.Request().ProtoMajor != 1 || timedOut {
		return nil
	}
	conn, _ := ctx.Value(connKey{}).(net.Conn)
	return withoutTLS(conn)
}

// outcomeLocked returns how the response ended whose handler has returned.
func (x *exchange) outcomeLocked() tracked.Outcome {
	// A reply to the cancel, rather than the beginning of what the handler had set out to write, is
	// begun only then, and is an error or written in one piece.
	cancelReply := x.committedAfterCancel && (x.status >= http.StatusBadRequest || !x.flushed && x.written <= netHTTPBuffer)
	switch {
	case x.wasCut.Load():
		return tracked.Cut
	case x.farewellWritten:
		if err := x.farewell.Load().err; errors.Is(err, os.ErrDeadlineExceeded) {
			return tracked.Cut
		} else if err != nil {
			return tracked.Completed // the client has left
		}
		return tracked.Told
	case !x.Canceled():
		return tracked.Completed
	case x.committed && x.Kind() != policy.Infinite && !x.completeLocked() && !cancelReply:
		return tracked.Cut
	}
	return tracked.Canceled
}

// completeLocked reports whether the body is known to be complete.
func (x *exchange) completeLocked() bool { return x.declared >= 0 && x.written >= x.declared }

// outerMayWrite reports whether a write after the handler's return can come from an outer handler,
// which answers in place of one that wrote nothing: echo, which has kept our writer, does so when a
// handler returns an error. Once the request's context has ended, only a goroutine that the handler
// has left behind can still write, and the wrapped writer may be inside another request's.
func (x *exchange) outerMayWrite() bool {
	return x.silent && x.Request().Context().Err() == nil
}

// Finish implements [tracked.Carrier]. A handler that waits for the rest of an upload gets an error
// in its place, so that its client can still be answered.
func (x *exchange) Finish() {
	if x.Kind() != policy.Infinite {
		x.ifOpen(func() { _ = x.controller().SetReadDeadline(time.Now()) })
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
		x.breakOff()
	})
	if c := x.Carrier(); c != tracked.Carrier(x) { // the connection was hijacked a moment ago
		c.Cut()
	}
}

// abort makes sure that nothing more of the response reaches its client, the end of its body least
// of all. The deadlines free a handler that is inside a read or a write, and reset an HTTP/2
// stream. They leave an HTTP/1 connection open under a handler that does neither, so that is
// closed.
func (x *exchange) breakOff() {
	conn, control := x.ownConn(), x.controller()
	now := time.Now()
	_ = control.SetWriteDeadline(now) // not every writer has deadlines
	_ = control.SetReadDeadline(now)
	if conn == nil {
		return
	}
	if !x.Request().ProtoAtLeast(1, 1) {
		// An HTTP/1.0 client knows the end of the body by the end of the connection (RFC 9112,
		// section 6.3): only a reset tells it that the body is not complete.
		if l, ok := conn.(interface{ SetLinger(sec int) error }); ok {
			_ = l.SetLinger(0)
		}
	}
	_ = conn.Close()
}

// closeHard closes a connection without TLS's own goodbye, which would wait up to five seconds for
// a peer that doesn't read.
func closeHard(c net.Conn) { _ = withoutTLS(c).Close() }

func withoutTLS(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}
