package middleware

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
	"github.com/lastcall-go/lastcall/ws"
)

// A socket is the link of a response to a request for a WebSocket over HTTP/2 (RFC
// 8441). There is no connection to hijack: the peer's frames are the request's body,
// and the handler's that of the response, if its status says yes. So the exchange
// says the farewell as in any other body; here is what a WebSocket has beyond that,
// a last message that can be left out, and a peer that answers.
type socket struct {
	*exchange
	frames  *ws.Frames
	body    io.ReadCloser        // the request's
	reading turn                 // from body
	asked   atomic.Pointer[word] // the farewell, as the drain asked for it
}

// link gives what is to carry the response, before it is tracked.
func (x *exchange) link() stream.Link {
	if x.req.Method != http.MethodConnect {
		return x
	}
	return x.connect()
}

// connect is link for a CONNECT, which is an extended one if it has a :protocol (RFC
// 8441, section 4). No HTTP/1 header has a name like that.
func (x *exchange) connect() stream.Link {
	if !strings.EqualFold(firstValue(x.req.Header, ":protocol"), "websocket") {
		return x
	}
	s := &socket{exchange: x, frames: ws.NewFrames(), body: x.req.Body}
	x.req.Body = socketBody{s}
	return s
}

// socket gives the response's link if it is a socket. Most requests show that it is
// not without a lock.
func (x *exchange) socket() *socket {
	if x.Request().Method != http.MethodConnect {
		return nil
	}
	s, _ := x.Link().(*socket)
	return s
}

// A socketBody is the request's body, as the handler gets it.
type socketBody struct{ s *socket }

// Read reads from the peer. After a farewell it goes on until the peer's Close has
// been returned in full, and is io.EOF from then on.
func (b socketBody) Read(p []byte) (int, error) { return b.s.read(p) }

// Close leaves the body open where the peer's Close is still to come through it.
// net/http closes it behind the handler.
func (b socketBody) Close() error {
	if b.s.Said() {
		return nil
	}
	return b.s.body.Close()
}

func (s *socket) read(p []byte) (int, error) {
	s.reading.take()
	defer s.reading.give()
	if s.frames.Answered() && s.Said() {
		return 0, io.EOF
	}
	n, err := s.body.Read(p)
	if n > 0 {
		s.touch()
		s.frames.Received(p[:n])
	}
	return n, err
}

// linger waits for the peer's Close in the place of a handler that returns behind
// its farewell, as long as the handler could have.
func (s *socket) linger() {
	if !s.Said() {
		return
	}
	s.turn.unlessOver(func() {
		s.lastWrites() // the handler's deadlines end with it
		if !s.Cancelled() {
			_ = http.NewResponseController(s.w).SetReadDeadline(time.Time{})
		}
	})
	buf := make([]byte, 512)
	for err := error(nil); err == nil; {
		_, err = s.read(buf)
	}
}

// Write implements [follower]: it takes note of what went out.
func (s *socket) Write(p []byte) (int, error) {
	s.frames.Sent(p)
	return len(p), nil
}

// AtBoundary implements [follower].
func (s *socket) AtBoundary() bool { return s.frames.At(s.tail.asked.Message != "") }

// Boundary implements [follower].
func (s *socket) Boundary(p []byte) int { return s.frames.Boundary(p, s.tail.asked.Message != "") }

// Farewell implements [stream.Link].
func (s *socket) Farewell(f policy.Farewell, retry time.Duration) {
	s.asked.Store(&word{Farewell: f, retry: retry})
	s.exchange.Farewell(f, retry)
}

// Insist implements [stream.Link].
func (s *socket) Insist() {
	if w := s.asked.Load(); w != nil && w.Message != "" {
		short := w.Farewell
		short.Message = ""
		s.exchange.Farewell(short, w.retry)
	}
}

// Finish implements [stream.Link]. The reading goes on for half of the time that is
// left until the cut, so that a peer which was told late can answer: once it has
// passed, a deadline of an HTTP/2 body can't be taken back.
func (s *socket) Finish() {
	now := time.Now()
	half := now.Add(s.CutAt().Sub(now) / 2)
	s.turn.unlessOver(func() { _ = http.NewResponseController(s.w).SetReadDeadline(half) })
}
