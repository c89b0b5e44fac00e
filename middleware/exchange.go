package middleware

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/sse"
	"github.com/lastcall-go/lastcall/stream"
)

// An exchange carries one response over its http.ResponseWriter. It is the
// response's link until the connection is hijacked, and what the handler writes
// to, through one of the faces of faces.go. What only some responses need is
// elsewhere: an object of more than 512 bytes has a header of the allocator's, and
// takes the next size class.
type exchange struct {
	stream.Entry

	// Immutable once the handler runs.
	d   *Drainer
	w   http.ResponseWriter // the one inside; nobody touches it once the handler has returned
	req http.Request        // as the handler gets it; in here, since an allocation of its own costs more than all else

	last atomic.Int64 // from the beginning to the last byte, in nanoseconds; zero: none
	turn turn
	cut  atomic.Bool // by force: nothing that is written now arrives

	inside inner // what w is; written by who has the turn, or asks for the header

	// owned by whoever has the turn
	committed bool        // a final status is on its way
	looked    bool        // at the header that went with it
	late      bool        // that was after the drain cancelled the context: it may be the handler's answer to that
	flushed   bool        // the handler has sent off what there was, by a flush
	bodiless  bool        // HEAD, 204, 304: complete with its header
	said      bool        // the farewell was written; what the handler writes now is swallowed
	events    sse.Scanner // the follower of most
	code      int16       // the final status
	held      int16       // of what was written, what may not have left yet
	declared  int64       // Content-Length; -1: none
	written   int64       // of the body, by the handler
	tail      *tail       // made when something is to come after the body, or in its place
}

// run runs the handler, with a face that has what the writer inside has.
func (x *exchange) run(next http.Handler, has abilities) {
	returned := false
	defer func() {
		var v any
		if !returned && x.farewelled() {
			v = recover()
		}
		abort := x.finish(returned)
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
	next.ServeHTTP(x.face(has), &x.req)
	if s := x.socket(); s != nil {
		s.linger()
	}
	returned = true
}

// handBack gives the caller what the handler learned of the request: net/http
// removes the multipart files of the request that it made, not of our copy, and
// middleware around us logs the pattern. Behind a hijack goroutines may be at the
// request still.
func (x *exchange) handBack() {
	in := x.Request()
	in.MultipartForm, in.Form, in.PostForm, in.Pattern = x.req.MultipartForm, x.req.Form, x.req.PostForm, x.req.Pattern
}

func (x *exchange) farewelled() bool {
	x.turn.take()
	defer x.yield()
	return x.said
}

// Insist implements [stream.Link]. A body's farewell has one form only, but for
// that of a socket.
func (x *exchange) Insist() {}

// LastByte implements [stream.Link].
func (x *exchange) LastByte() time.Time {
	if last := x.last.Load(); last != 0 {
		return x.Began().Add(time.Duration(last))
	}
	return time.Time{}
}

func (x *exchange) touch() { x.last.Store(int64(x.Age())) }
