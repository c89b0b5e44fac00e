package middleware

import (
	"errors"
	"io"
	"net/http"
	"os"
	"reflect"
	"runtime"
)

// A requestBody is the body of an HTTP/1 request, as the handler gets it. It notes what net/http
// has no other way to let the exchange know.
type requestBody struct{ x *exchange }

// bodyFor returns the body that the handler of a request with one gets. Only net/http's own bodies
// are followed: the handler, or net/http for it, may ask another one for its type.
func (x *exchange) bodyFor(r *http.Request) io.ReadCloser {
	if r.ProtoMajor != 1 || !isNetHTTP1(x.w) {
		return r.Body
	}
	switch reflect.TypeOf(r.Body).String() {
	case "*http.body", "*http.expectContinueReader":
		return requestBody{x}
	}
	return r.Body
}

func (b requestBody) Close() error { return b.x.Request().Body.Close() }

func (b requestBody) Read(p []byte) (int, error) {
	x := b.x
	n, err := x.Request().Body.Read(p)
	// An http.MaxBytesReader asks for a byte more than it may have, and for nothing once it got
	// that. It then looks at its ResponseWriter for an unexported method of net/http's, which ours
	// can't have, to have the connection closed.
	over := err == nil && n > 0 && n == len(p) && n < cap(p) && calledByMaxBytesReader()
	x.openMu.Lock()
	x.bodyRead = x.bodyRead || err == io.EOF
	x.overLimit = over
	if x.readsEnded && errors.Is(err, os.ErrDeadlineExceeded) {
		err = drained(err)
	}
	x.openMu.Unlock()
	return n, err
}

// calledByMaxBytesReader reports whether an http.MaxBytesReader called the caller, perhaps through
// other readers.
func calledByMaxBytesReader() bool {
	var pc [8]uintptr
	frames := runtime.CallersFrames(pc[:runtime.Callers(3, pc[:])])
	for {
		f, more := frames.Next()
		if f.Function == "net/http.(*maxBytesReader).Read" {
			return true
		}
		if !more {
			return false
		}
	}
}

// closeConnIfBodyUnread has an HTTP/1 connection closed behind the response where the rest of the
// request's body is not to be read: where it went over its limit, so that net/http doesn't wait for
// it, and where Finish has ended the reads, since net/http may have canceled the context of all
// requests on the connection, or take the rest for the next of them. It is called twice for
// requests that have a body: before the header is sent, so that the client is told, and when the
// handler has returned.
func (x *exchange) closeConnIfBodyUnread() {
	x.openMu.Lock()
	over, ended := x.overLimit, x.readsEnded
	x.overLimit = false
	x.openMu.Unlock()
	if !over && !ended || x.Request().ProtoMajor != 1 || x.hijacked != nil {
		return
	}
	switch h := x.w.Header(); {
	case over:
		x.closeConnAtEnd()
	case !x.committed:
		h.Set("Connection", "close")
	case h.Get("Connection") == "close": // the client has been told
	case !x.markConnClosing():
		x.closeConnAtEnd()
	}
}
