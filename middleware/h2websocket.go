package middleware

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/iolock"
	"github.com/lastcall-go/lastcall/internal/wsconn"
	"github.com/lastcall-go/lastcall/policy"
)

// An h2WebSocket carries a WebSocket over HTTP/2 (RFC 8441). There is no connection to hijack: the
// client's frames are the body of the CONNECT and the server's frames that of its response. With a
// net.Conn made of the two the rest is as for a hijacked WebSocket, with one difference: the
// handler's return would end the stream, so it has to wait for the client's Close.
type h2WebSocket struct {
	webSocket
	bodies   *bodiesConn
	accepted atomic.Bool   // by a status of 2xx
	returned bool          // the handler has: nobody may accept it any more; guarded by the exchange's lock
	closed   chan struct{} // closed when the WebSocket is
}

func newH2WebSocket(x *exchange) *h2WebSocket {
	s := &h2WebSocket{bodies: &bodiesConn{x: x, body: x.req.Body}, closed: make(chan struct{})}
	s.hijacked = &hijacked{x: x}
	s.Conn = wsconn.New(s.bodies, wsconn.Options{
		Upgraded: true, Abort: func() { x.ifOpen(x.breakOff) }, BeforeFarewell: x.BeginFarewell, Ended: drained, OnAnswer: x.CloseDraining,
		OnClose: func() {
			s.done(connClosed)
			close(s.closed)
		},
	})
	x.req.Body = connectBody{s}
	return s
}

// acceptIf makes s the carrier of the response if the status that was just written accepts the
// WebSocket. The exchange's lock must be held.
func (s *h2WebSocket) acceptIf(status int) {
	if status/100 == 2 && !s.returned && !s.accepted.Swap(true) {
		s.x.switchCarrier(s, format.WebSocket)
	}
}

// acceptOnWrite is called before a write or a flush. It accepts the WebSocket with a 200 if no
// status has been written, and reports whether it is accepted.
func (s *h2WebSocket) acceptOnWrite() bool {
	x := s.x
	if !s.accepted.Load() && x.acquire() {
		if !x.committed {
			x.commitLocked(http.StatusOK)
			x.w.WriteHeader(http.StatusOK)
			s.acceptIf(http.StatusOK)
		}
		x.release()
	}
	return s.accepted.Load()
}

// wasAccepted is called when the handler has returned. It reports whether the WebSocket is
// accepted: a goroutine of the handler's can't accept it any more, since nobody would close it.
func (s *h2WebSocket) wasAccepted() bool {
	s.x.lock.Lock()
	defer s.x.lock.Unlock()
	s.returned = true
	return s.accepted.Load()
}

// Finish implements [tracked.Carrier]. Reading goes on for half of the time that is left until the
// cut, so that a client that was told late can answer: once a read of such a body has met its
// deadline, no other can succeed.
func (s *h2WebSocket) Finish() {
	x := s.x
	m, _ := x.Moments()
	x.ifOpen(func() { _ = x.controller().SetReadDeadline(halfway(time.Now(), m.Cut)) })
	s.Conn.Finish()
}

// handlerEnded closes the WebSocket when its handler has returned, or panicked. If a farewell was
// sent it waits for the client's answer, for as long as the handler could have. It reports whether
// the stream has to be reset because its end could pass for a clean one.
func (s *h2WebSocket) handlerEnded(returned bool) (abort bool) {
	x, state := s.x, s.State()
	switch {
	case !returned:
		x.ifOpen(func() { _ = x.controller().SetReadDeadline(time.Now()) })
	case x.Canceled() && x.Kind() != policy.Infinite && !state.FarewellWritten && !state.HandlerSentClose:
		abort = true
		s.Cut()
	case x.FarewellSent() && !x.Canceled():
		x.ifOpen(func() { _ = x.controller().SetReadDeadline(time.Time{}) }) // the handler's deadlines end with it
	}
	_ = s.Close()
	<-s.closed
	_ = s.bodies.Close() // which a cut hasn't done
	return abort
}

// connectBody is the request's body, as the handler gets it.
type connectBody struct{ s *h2WebSocket }

func (b connectBody) Read(p []byte) (int, error) { return b.s.Read(p) }

// Close leaves the body open where the client's Close is still to come through it. net/http closes
// it after the handler.
func (b connectBody) Close() error {
	if b.s.x.FarewellSent() {
		return nil
	}
	return b.s.bodies.body.Close()
}

// A bodiesConn is a net.Conn over the body of a CONNECT and that of its response. The stream that
// carries them isn't its to close: net/http ends it when the handler has returned.
type bodiesConn struct {
	x    *exchange
	body io.ReadCloser

	writing iolock.Lock // guards closed
	closed  bool
}

// Close waits for the Write that is under way, and has later ones fail: none may be in x.w when the
// handler has returned to net/http.
func (b *bodiesConn) Close() error {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.closed = true
	return nil
}

func (b *bodiesConn) Read(p []byte) (int, error)         { return b.body.Read(p) }
func (b *bodiesConn) RemoteAddr() net.Addr               { return nil }
func (b *bodiesConn) SetDeadline(t time.Time) error      { return b.SetWriteDeadline(t) }
func (b *bodiesConn) SetWriteDeadline(t time.Time) error { return b.x.controller().SetWriteDeadline(t) }

// SetReadDeadline does nothing: it is for waking a Read in order to take over from it, and here no
// Read can follow on one that has met its deadline.
func (b *bodiesConn) SetReadDeadline(time.Time) error { return nil }

func (b *bodiesConn) Write(p []byte) (int, error) {
	b.writing.Lock()
	defer b.writing.Unlock()
	if b.closed {
		return 0, errEnded
	}
	n, err := b.x.w.Write(p)
	if err != nil {
		return n, err
	}
	return n, b.x.controller().Flush()
}

func (b *bodiesConn) LocalAddr() net.Addr {
	addr, _ := b.x.req.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return addr
}
