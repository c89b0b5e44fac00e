package middleware

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/internal/wsconn"
)

// A connCarrier carries a response over a connection, or over the bodies of a CONNECT.
type connCarrier interface {
	tracked.Carrier
	Handle() net.Conn // what the handler gets
	common() *hijacked
	outcome(canceled bool) tracked.Outcome // once the response has ended
	Swallowed() int64                      // bytes that the handler wrote behind the farewell
}

// hijacked is what all connCarriers have in common. The response ends when the connection is closed
// and the handler has returned, in either order: a handler may give the connection to goroutines of
// its own and return, or go on after it is closed.
type hijacked struct {
	x    *exchange
	conn connCarrier
	past atomic.Uint32 // connClosed and handlerReturned, once they have come
	by   uintptr       // a program counter in the function that hijacked the connection; zero: unknown
}

const (
	connClosed = 1 << iota
	handlerReturned
)

func (h *hijacked) common() *hijacked { return h }

// done is called with connClosed and with handlerReturned when that has come.
func (h *hijacked) done(what uint32) {
	if h.past.Or(what)|what == connClosed|handlerReturned {
		h.x.d.countSwallowed(h.conn.Swallowed())
		h.x.d.end(&h.x.Response, h.conn.outcome(h.x.Canceled()))
	}
}

// switchCarrier makes c carry the response from now on. x's lock must be held.
func (x *exchange) switchCarrier(c connCarrier, speaks string) {
	x.hijacked = c.common()
	x.hijacked.conn = c
	x.SetCarrier(c, speaks, x.req.Pattern)
	if x.d.Observe != nil && x.lastByte.Load() == 0 {
		x.d.observeFirstByte(&x.Response)
	}
	// The drain may have called Cut, Farewell or Finish of x instead, until a moment ago.
	if x.wasCut.Load() {
		c.Cut()
	} else if f := x.farewell.Load(); f != nil {
		c.Farewell(f.Farewell, f.retry)
	}
	if x.Canceled() {
		x.d.scheduler.post(func() { x.d.scheduler.workers.apart(c.Finish) })
	}
}

// successor returns what carries the response in x's place, or nil while x does. The drain may
// still call x when the connection was hijacked a moment ago.
func (x *exchange) successor() tracked.Carrier {
	if c := x.Carrier(); c != tracked.Carrier(x) {
		return c
	}
	return nil
}

func (x *exchange) hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !x.acquire() {
		return nil, nil, errEnded
	}
	defer x.release()
	conn, brw, err := x.controller().Hijack()
	if err != nil {
		return conn, brw, err
	}
	buffered, _ := brw.Reader.Peek(brw.Reader.Buffered())
	early := bytes.Clone(buffered)

	h := &hijacked{x: x, by: hijackedBy()}
	var c connCarrier
	var speaks string
	if format.WebSocketUpgrade(&x.req) {
		c, speaks = webSocket{newWebSocket(conn, early, h), h}, format.WebSocket
	} else {
		c, speaks = &rawConn{Conn: conn, hijacked: h}, format.Hijacked
	}
	handle := c.Handle()
	rebind(brw, handle, early)
	x.switchCarrier(c, speaks)
	return handle, brw, nil
}

// rebind has brw read and write through c, with early still buffered: golang.org/x/net/websocket
// and coder/websocket write frames through brw.Writer, and gorilla/websocket counts what brw.Reader
// has buffered.
func rebind(brw *bufio.ReadWriter, c net.Conn, early []byte) {
	brw.Writer.Reset(c)
	brw.Reader.Reset(c)
	if len(early) > 0 {
		brw.Reader.Reset(io.MultiReader(bytes.NewReader(early), c))
		_, _ = brw.Reader.Peek(len(early))
	}
}

// A webSocket carries a response that has become a WebSocket.
type webSocket struct {
	*wsconn.Conn
	*hijacked
}

// newWebSocket and rebind are apart from hijack so that the stack of a WebSocket's goroutine stays
// at 4 KiB: what they need doesn't lie on it while net/http hijacks.
func newWebSocket(conn net.Conn, early []byte, h *hijacked) *wsconn.Conn {
	return wsconn.New(conn, wsconn.Options{
		Upgraded: h.x.status == http.StatusSwitchingProtocols, Early: early,
		Abort: func() { closeHard(conn) }, BeforeFarewell: h.x.BeginFarewell, Ended: drained, OnAnswer: h.x.CloseDraining,
		OnClose: func() { h.done(connClosed) },
	})
}

func (w webSocket) outcome(canceled bool) tracked.Outcome {
	switch s := w.State(); {
	case s.FarewellWritten && s.PeerSentClose:
		return tracked.Told
	case s.FarewellWritten:
		return tracked.Unanswered
	case s.WasCut:
		return tracked.Cut
	case canceled:
		return tracked.Canceled
	}
	return tracked.Completed
}
