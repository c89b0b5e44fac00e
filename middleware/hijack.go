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

// A hijackedConn carries a response whose connection was hijacked.
type hijackedConn interface {
	tracked.Carrier
	outcome(canceled bool) tracked.Outcome
}

// hijacked is what an exchange has once its connection is hijacked. The response ends when the
// connection is closed and the handler has returned: a handler may hand the connection to
// goroutines of its own and return, or outlast it.
type hijacked struct {
	x       *exchange
	conn    hijackedConn
	holders atomic.Int32 // the connection and the handler
}

// holderLeft is called when the connection is closed, and when the handler has returned.
func (h *hijacked) holderLeft() {
	if h.holders.Add(-1) == 0 {
		h.x.d.end(&h.x.Response, h.conn.outcome(h.x.Canceled()))
	}
}

// carryOver makes c carry the response from now on. x's lock must be held.
func (x *exchange) carryOver(c hijackedConn, h *hijacked, format string) {
	h.conn = c
	h.holders.Store(2)
	x.hijacked = h
	x.SetCarrier(c, format, x.req.Pattern)
	// Both may have been asked for while the response was still being written.
	if x.wasCut.Load() {
		c.Cut()
	} else if f := x.farewell.Load(); f != nil {
		c.Farewell(f.Farewell, f.retry)
	}
}

func (x *exchange) hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !x.acquire() {
		return nil, nil, errEnded
	}
	defer x.release()
	conn, brw, err := x.control().Hijack()
	if err != nil {
		return conn, brw, err
	}
	early, _ := brw.Reader.Peek(brw.Reader.Buffered())
	early = bytes.Clone(early)

	h := &hijacked{x: x}
	var carrier hijackedConn
	var handle net.Conn
	carries := format.Hijacked
	if format.WebSocketUpgrade(&x.req) {
		ws := wsconn.New(conn, wsconn.Options{
			Upgraded: x.status == http.StatusSwitchingProtocols, Early: early,
			Abort: func() { closeHard(conn) }, BeforeFarewell: x.BeginFarewell, OnClose: h.holderLeft,
		})
		carrier, handle, carries = webSocket{ws}, ws.Handle(), format.WebSocket
	} else {
		raw := &rawConn{Conn: conn, hijacked: h}
		carrier, handle = raw, raw.handle()
	}
	// x/net and coder write frames through this writer, and gorilla counts what the reader has
	// buffered.
	brw.Writer.Reset(handle)
	brw.Reader.Reset(handle)
	if len(early) > 0 {
		brw.Reader.Reset(io.MultiReader(bytes.NewReader(early), handle))
		_, _ = brw.Reader.Peek(len(early))
	}
	x.carryOver(carrier, h, carries)
	return handle, brw, nil
}

// A webSocket carries a response over the WebSocket that was hijacked for it.
type webSocket struct{ *wsconn.Conn }

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
