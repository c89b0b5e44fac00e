package middleware

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// finish ends the response when its handler has returned, or panicked, and
// tells whether it has to be broken off because it could pass for whole.
func (x *exchange) finish(returned bool) (abort bool) {
	x.turn.end() // a farewell that is being written ends first, at the latest by the cut
	if x.hijacked() {
		x.Release()
		x.tail.taken.handlerReturned() // the response lives on in its connection
		return false
	}
	x.handBack()
	if x.committed && !x.looked && x.Cancelled() {
		x.look() // the header is still here, and says what is whole
	}
	outcome := x.outcome()
	switch {
	case outcome == stream.Cut && x.committed && !x.whole():
		abort = true
		x.sever() // a panic alone may be recovered by somebody around us
	case outcome == stream.Told:
		x.lastWrites() // anew: the handler may have set a deadline with each of its writes
	case x.committed || !returned:
	case outcome == stream.Cancelled:
		x.answerInstead()          // net/http would make an empty 200 of this, which is a lie
		x.turn.endAs(turnAnswered) // nor may somebody around us say more
	case x.d.draining():
		x.w.Header().Set("Connection", "close")
	}
	if (outcome == stream.Told || outcome == stream.Cancelled) && !x.d.draining() {
		x.part()
	}
	if outcome == stream.Completed && !x.committed {
		x.turn.endAs(turnSilent)
	}
	x.Release()
	x.d.end(&x.Entry, outcome)
	return abort && returned
}

// part has net/http close the connection behind a stream that was told while the
// server goes on: a client that came back over it would reach this same replica. The
// response's header, which could have said so, went out long ago. A connection of
// HTTP/2 has other streams on it, and stays.
func (x *exchange) part() {
	conn := x.conn()
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if r, ok := conn.(interface{ CloseRead() error }); ok {
		_ = r.CloseRead() // net/http takes the end of its next read for the client's leaving
	}
}

// conn gives the connection, where that is HTTP/1's and known to us, so that it has
// nothing on it but this response; else nil.
func (x *exchange) conn() net.Conn {
	ctx := x.Request().Context()
	// An http.TimeoutHandler around us that has timed out has answered, and the
	// connection may be at its next request.
	answered := ctx.Err() == context.DeadlineExceeded && fmt.Sprintf("%T", innermost(x.w)) == "*http.timeoutWriter"
	if x.Request().ProtoMajor != 1 || answered {
		return nil
	}
	conn, _ := ctx.Value(connKey{}).(net.Conn)
	return conn
}

// outcome tells how the response ended, now that its handler has returned. The
// turn must be held by the caller, here and below.
func (x *exchange) outcome() stream.Outcome {
	switch {
	case x.cut.Load():
		return stream.Cut
	case x.said:
		return x.tail.outcome()
	case !x.Cancelled():
		return stream.Completed
	case x.committed && x.Kind() != policy.Infinite && !x.whole() && !x.answered():
		return stream.Cut
	}
	return stream.Cancelled
}

// whole tells whether the body is known to be all there.
func (x *exchange) whole() bool {
	return x.bodiless || x.declared >= 0 && x.written >= x.declared
}

// answered tells whether what was written is the handler's answer to being
// cancelled, and not the beginning of what it had set out to write: it began
// only then, and says that it failed or was put together in one go.
func (x *exchange) answered() bool {
	return x.late && (x.code >= http.StatusBadRequest || !x.flushed && x.written <= inOneGo)
}

// isAround tells whether what is written now comes from somebody around us, who
// answers for a handler that has returned without a word: echo does so when an
// error comes back to it, and has kept our writer. It is none of the drain's any
// more. Once the request's context is over nobody may be there but a goroutine
// that the handler has left behind, and the writer inside another request's.
func (x *exchange) isAround() bool {
	return x.turn.state.Load() == turnSilent && x.Request().Context().Err() == nil
}

// Finish implements [stream.Link]. The handler's return ends the response; one
// that waits for the rest of an upload gets an error in its place, so that its
// client can still be answered.
func (x *exchange) Finish() {
	if x.Kind() == policy.Infinite {
		return
	}
	x.turn.unlessOver(func() { _ = http.NewResponseController(x.w).SetReadDeadline(time.Now()) })
}

// Cut implements [stream.Link].
func (x *exchange) Cut() {
	if in := x.Request(); in.ProtoMajor == 1 && in.Context().Value(connKey{}) == nil {
		x.d.blind.Do(func() {
			x.d.log(slog.LevelWarn, "a cut can't close the connection under its handler, and its client may hear of nothing until that returns; set srv.ConnContext to the Drainer's, as Run does")
		})
	}
	x.turn.unlessOver(func() {
		x.cut.Store(true)
		x.sever()
	})
}

// sever makes sure that nothing more of the response reaches its client, the end
// of its body least of all. The deadlines free a handler that is inside a read
// or a write, and reset an HTTP/2 stream. They leave an HTTP/1 connection open
// under a handler that does neither, so that one is closed, where
// [Drainer.ConnContext] has shown it to us. Without that an HTTP/1.0 client,
// which knows the end of a body by that of its connection, can't be told.
func (x *exchange) sever() {
	conn, control := x.conn(), http.NewResponseController(x.w)
	now := time.Now()
	_ = control.SetWriteDeadline(now) // not every writer has deadlines
	_ = control.SetReadDeadline(now)
	if conn == nil {
		return
	}
	if !x.Request().ProtoAtLeast(1, 1) {
		// Without chunks the end of the connection is the end of the body (RFC
		// 9112, section 6.3): only a reset tells that it is not the whole one.
		resetOnClose(conn)
	}
	hardClose(conn)
}
