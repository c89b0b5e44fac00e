package middleware

import (
	"bufio"
	"net"
	"net/http"
	"time"
)

// controls is what a face unwraps to. Whoever unwraps, as
// [http.ResponseController] does, finds here what the face doesn't show because
// the writer inside doesn't, but what that one unwraps to has. Were they to find
// that itself, they would write, flush and hijack past the drain.
type controls struct{ plainFace }

// controls that can hijack are a type of their own: coder/websocket takes the
// method for a promise.
type hijackControls struct{ controls }

func (x *exchange) controls() http.ResponseWriter {
	c := controls{plainFace{x}}
	if canHijack(x.w) {
		return hijackControls{c}
	}
	return c
}

func canHijack(w http.ResponseWriter) bool {
	for {
		if _, ok := w.(http.Hijacker); ok {
			return true
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return false
		}
		w = u.Unwrap()
	}
}

func (c controls) inside() *http.ResponseController { return http.NewResponseController(c.x.w) }

func (c controls) Unwrap() http.ResponseWriter        { return c.x.w }
func (c controls) FlushError() error                  { return c.x.flushError() }
func (c controls) SetReadDeadline(t time.Time) error  { return c.inside().SetReadDeadline(t) }
func (c controls) SetWriteDeadline(t time.Time) error { return c.inside().SetWriteDeadline(t) }
func (c controls) EnableFullDuplex() error            { return c.inside().EnableFullDuplex() }

func (c hijackControls) Hijack() (net.Conn, *bufio.ReadWriter, error) { return c.x.hijack() }
