package middleware

import (
	"bufio"
	"net"
	"net/http"
	"reflect"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
)

// unwrapped is what a handler's writer unwraps to. It has Flush or Hijack where the wrapped writer
// lacks them but unwraps to one that has them: there [http.ResponseController] would find them, and
// call them past the exchange.
type unwrapped struct{ plainWriter }

// A writer has Flush or Hijack only where it works: go-sse and coder/websocket call what is there,
// and have nothing else to try when it fails. Each of these types holds one pointer, so that to
// unwrap costs no allocation.
type (
	unwrappedFlusher  struct{ unwrapped }
	unwrappedHijacker struct{ unwrappedFlusher }
)

func (x *exchange) unwrapped() http.ResponseWriter {
	u := unwrapped{plainWriter{x}}
	switch {
	case reaches[http.Hijacker](x.w):
		return unwrappedHijacker{unwrappedFlusher{u}}
	case reaches[http.Flusher](x.w), reaches[interface{ FlushError() error }](x.w):
		return unwrappedFlusher{u}
	}
	return u
}

func (u unwrapped) Unwrap() http.ResponseWriter { return u.x.w }

func (u unwrapped) SetReadDeadline(t time.Time) error {
	if s := u.x.connect; s != nil && s.accepted.Load() && u.x.FarewellSent() {
		return nil // reading goes on for the client's Close
	}
	return u.x.controller().SetReadDeadline(t)
}

func (u unwrapped) SetWriteDeadline(t time.Time) error {
	if s := u.x.connect; s != nil && s.accepted.Load() {
		return s.SetWriteDeadline(t)
	}
	return u.x.controller().SetWriteDeadline(t)
}

func (u unwrapped) EnableFullDuplex() error { return u.x.controller().EnableFullDuplex() }

func (u unwrappedFlusher) FlushError() error { return u.x.flush() }

func (u unwrappedHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) { return u.x.hijack() }

func unwrap(w http.ResponseWriter) http.ResponseWriter {
	if u, ok := w.(interface{ Unwrap() http.ResponseWriter }); ok {
		return u.Unwrap()
	}
	return nil
}

// reaches reports whether w, or what it unwraps to, is a T.
func reaches[T any](w http.ResponseWriter) bool {
	for ; w != nil; w = unwrap(w) {
		if _, ok := w.(T); ok {
			return true
		}
	}
	return false
}

// innermost returns what w unwraps to in the end.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for inner := unwrap(w); inner != nil; inner = unwrap(w) {
		w = inner
	}
	return w
}

// writesTo reports whether what is written to w becomes part of the response: w unwraps to its
// writer, or is an old wrapper around that without an Unwrap, which has the same header. A recorder
// that a handler gives to another one, with its own request's context, has a header of its own.
func writesTo(w http.ResponseWriter, r *tracked.Response) bool {
	for inner := w; inner != nil; inner = unwrap(inner) {
		if ours, ok := inner.(interface{ carries(*tracked.Response) bool }); ok && ours.carries(r) {
			return true
		}
	}
	x, ok := r.Carrier().(*exchange)
	return ok && reflect.ValueOf(w.Header()).Pointer() == reflect.ValueOf(x.w.Header()).Pointer()
}
