package middleware

import (
	"errors"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/sse"
	"github.com/lastcall-go/lastcall/stream"
)

// An exchange carries one response over its http.ResponseWriter. It is the
// response's link until the connection is hijacked, and what the handler writes
// to, through one of the faces of faces.go.
type exchange struct {
	stream.Entry

	// Immutable once the handler runs.
	d   *Drainer
	w   http.ResponseWriter // the one inside; nobody touches it once the handler has returned
	req *http.Request       // as the handler got it

	asksHeader bool // the handler has called Header; its goroutine's own

	turn turn
	// owned by whoever has the turn
	committed bool        // a final status is on its way
	looked    bool        // at the header that went with it
	late      bool        // but only since the drain cancelled the context: the handler's own answer to that
	bodiless  bool        // HEAD, 204, 304: complete with its header
	declared  int64       // Content-Length; -1: none
	written   int64       // of the body, by the handler
	follow    follower    // where in a stream we are; nil: nothing can be put into this body
	events    sse.Scanner // the follower of most
	asked     *word       // the farewell that waits for a boundary
	said      bool        // it was written; what the handler writes now is swallowed
	unheard   error       // but not to the end, for this reason
	taken     *takeover   // what the handler hijacked the connection for

	last atomic.Int64 // from the beginning to the last byte, in nanoseconds; zero: none
	cut  atomic.Bool  // by force: nothing that is written now arrives
}

// serve runs the handler inside a tracked response.
func (d *Drainer) serve(next http.Handler, rule policy.Rule, w http.ResponseWriter, r *http.Request) {
	x := &exchange{d: d, w: w, declared: -1}
	x.turn.init()
	x.req = r.WithContext(x.Context())
	if !x.Track(&d.registry, r, rule, x) {
		d.refuse(w, r, rule)
		return
	}
	returned := false
	defer func() {
		var v any
		if !returned && x.farewelled() {
			v = recover()
		}
		handBack(r, x)
		abort := x.finish(r, returned)
		switch {
		case v == http.ErrAbortHandler:
			// A proxy panics so when its upstream breaks off, which our
			// cancelling makes it do. The client has had its farewell at a
			// boundary: for it this is a clean end, which net/http now writes.
		case v != nil:
			panic(v)
		case abort:
			panic(http.ErrAbortHandler) // net/http's way to break a body off
		}
	}()
	next.ServeHTTP(x.face(), x.req)
	returned = true
}

// handBack gives the caller what the handler learned of the request: net/http
// removes the multipart files of the request that it made, not of our copy, and
// middleware around us logs the pattern.
func handBack(r *http.Request, x *exchange) {
	if x.taken != nil { // its goroutines may be at the request still
		return
	}
	r.MultipartForm, r.Form, r.PostForm, r.Pattern = x.req.MultipartForm, x.req.Form, x.req.PostForm, x.req.Pattern
}

func (x *exchange) farewelled() bool {
	x.turn.take()
	defer x.yield()
	return x.said
}

// finish ends the response when its handler has returned, or panicked, and
// tells whether its body has to be broken off because it could pass for whole.
func (x *exchange) finish(r *http.Request, returned bool) (abort bool) {
	x.turn.take() // a farewell that is being written ends first, at the latest by the cut
	outcome := stream.Completed
	switch {
	case x.taken != nil: // its connection lives on
	case x.cut.Load(), errors.Is(x.unheard, os.ErrDeadlineExceeded):
		outcome = stream.Cut
	case x.unheard != nil: // the client has left
	case x.said:
		outcome = stream.Told
	case !x.Cancelled():
		if returned && !x.committed && x.d.draining() {
			x.w.Header().Set("Connection", "close")
		}
	case !x.committed:
		outcome = stream.Cancelled
		if returned { // net/http would make an empty 200 of this, which is a lie
			x.d.answerInstead(x.w, r, x.Rule())
		}
	case x.truncated():
		outcome, abort = stream.Cut, returned
	default:
		outcome = stream.Cancelled
	}
	x.turn.end()

	x.Release()
	if x.taken != nil {
		x.taken.handlerReturned()
		return false
	}
	x.d.end(&x.Entry, outcome)
	return abort
}

// truncated tells whether what the drain cancelled may have been cut short in a
// way that a client can't see. The turn must be held by the caller.
func (x *exchange) truncated() bool {
	return x.Kind() != policy.Infinite && !x.late && !x.bodiless && (x.declared < 0 || x.written < x.declared)
}

// Insist implements [stream.Link]. A body's farewell has one form only.
func (x *exchange) Insist() {}

// Finish implements [stream.Link]. The handler's return ends the response.
func (x *exchange) Finish() {}

// Cut implements [stream.Link]. The deadlines free a handler that is inside a
// read or a write and reset an HTTP/2 stream. They leave an HTTP/1 connection
// open under a handler that does neither, so that one is closed, where
// [Drainer.ConnContext] has shown it to us.
func (x *exchange) Cut() {
	x.turn.unlessOver(func() {
		x.cut.Store(true)
		control := http.NewResponseController(x.w)
		now := time.Now()
		_ = control.SetWriteDeadline(now) // not every writer has deadlines; then closing has to do
		_ = control.SetReadDeadline(now)
		if c, ok := x.req.Context().Value(connKey{}).(net.Conn); ok && x.req.ProtoMajor == 1 {
			hardClose(c)
		}
	})
}

// LastByte implements [stream.Link].
func (x *exchange) LastByte() time.Time {
	if last := x.last.Load(); last != 0 {
		return x.Began().Add(time.Duration(last))
	}
	return time.Time{}
}

func (x *exchange) touch() { x.last.Store(int64(time.Since(x.Began()))) }
