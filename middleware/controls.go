package middleware

import (
	"bufio"
	"net"
	"net/http"
	"time"
)

// controls is what a handler's writer unwraps to. It shows what the wrapped writer lacks but what
// that one unwraps to has, which [http.ResponseController] would otherwise find itself, and write,
// flush and hijack past the drain.
type controls struct{ plainWriter }

// go-sse and coder/websocket take a method Flush or Hijack for a promise, so one that fails is
// worse than none.
type (
	flushControls  struct{ controls }
	hijackControls struct{ flushControls }
)

func (x *exchange) controls() http.ResponseWriter {
	c := controls{plainWriter{x}}
	switch {
	case reaches[http.Hijacker](x.w):
		return hijackControls{flushControls{c}}
	case reaches[http.Flusher](x.w), reaches[interface{ FlushError() error }](x.w):
		return flushControls{c}
	}
	return c
}

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

func (c controls) Unwrap() http.ResponseWriter { return c.x.w }

func (c controls) SetReadDeadline(t time.Time) error {
	if s := c.x.connect; s != nil && s.accepted.Load() && c.x.FarewellSent() {
		return nil // reading goes on for the client's Close
	}
	return c.x.control().SetReadDeadline(t)
}

func (c controls) SetWriteDeadline(t time.Time) error {
	if s := c.x.connect; s != nil && s.accepted.Load() {
		return s.SetWriteDeadline(t)
	}
	return c.x.control().SetWriteDeadline(t)
}

func (c controls) EnableFullDuplex() error { return c.x.control().EnableFullDuplex() }

func (c flushControls) FlushError() error { return c.x.flush() }

func (c hijackControls) Hijack() (net.Conn, *bufio.ReadWriter, error) { return c.x.hijack() }
