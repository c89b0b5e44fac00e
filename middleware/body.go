package middleware

import (
	"errors"
	"io"
	"net/http"
	"os"
	"reflect"
	"runtime"
	"strings"
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
	// An http.MaxBytesReader asks for a byte more than it may have, and for nothing once it got that.
	// It then looks at its ResponseWriter for an unexported method of net/http's, which ours can't
	// have, to have the connection closed.
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

// closeConnIfSpoiled has net/http close an HTTP/1 connection with the response where the request's
// body went over its limit, so that net/http doesn't wait for the rest of it, and where Finish has
// ended the reading: net/http may have canceled the context of all requests on the connection, or
// take the rest of the body for the next of them. It is called before the header is sent, for the
// client to be told, and when the handler has returned, of requests that have a body.
func (x *exchange) closeConnIfSpoiled() {
	x.openMu.Lock()
	over, ended := x.overLimit, x.readsEnded
	x.overLimit = false
	x.openMu.Unlock()
	switch {
	case !over && !ended || x.Request().ProtoMajor != 1 || x.hijacked != nil:
	case over:
		x.closeConn()
	case !x.committed:
		x.w.Header().Set("Connection", "close")
	case x.w.Header().Get("Connection") == "close":
	case !x.spend():
		x.closeConn()
	}
}

// closeConn has net/http close the connection when the response has ended. It does so as a body does
// that goes over its limit, since it may be too late for a Connection: close.
func (x *exchange) closeConn() {
	if w := innermost(x.w); isNetHTTP1(w) {
		tooLarge := http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0)
		_, _ = tooLarge.Read(make([]byte, 1))
	}
}
