package middleware

import (
	"bufio"
	"bytes"
	"io"
	"net"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/internal/wsconn"
)

// A hijackedConn carries a response whose connection was hijacked.
type hijackedConn interface {
	tracked.Carrier
	outcome(canceled bool) tracked.Outcome
}

// hijack is the handler's Hijack. The response ends when the connection is closed and the handler has returned: a handler
// may hand the connection to goroutines of its own and return, or outlast it.
func (x *exchange) hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !x.acquire() {
		return nil, nil, errEnded
	}
	defer x.release()
	conn, brw, err := x.control().Hijack()
	if err != nil {
		return conn, brw, err
	}
	if x.wasCut.Load() {
		closeHard(conn) // net/http has just taken the deadlines off it
	}
	early, _ := brw.Reader.Peek(brw.Reader.Buffered())
	early = bytes.Clone(early)

	x.holders.Store(2)
	var handle net.Conn
	speaks := format.Hijacked
	if format.WebSocketUpgrade(x.req) {
		speaks = format.WebSocket
		ws := wsconn.New(conn, wsconn.Options{
			Switched: x.status == 101, Early: early,
			Abort: func() { closeHard(conn) }, BeforeFarewell: x.BeginFarewell, OnClose: x.holderLeft,
		})
		x.conn, handle = webSocket{ws}, ws.Handle()
	} else {
		raw := &rawConn{Conn: conn, x: x}
		x.conn, handle = raw, raw.handle()
	}
	rebind(brw, handle, early)
	x.SetCarrier(x.conn, speaks, x.req.Pattern)
	if f := x.farewell.Load(); f != nil { // it was asked for while the response was still being written
		x.conn.Farewell(f.Farewell, f.retry)
	}
	return handle, brw, nil
}

// holderLeft is called when the connection is closed, and when the handler has returned. The second call ends the response.
func (x *exchange) holderLeft() {
	if x.holders.Add(-1) == 0 {
		x.d.end(&x.Response, x.conn.outcome(x.Canceled()))
	}
}

// rebind makes the buffers that Hijack returned go through our connection, with the bytes that the server had read already
// still in them: x/net and coder write frames through this writer, and gorilla counts what is buffered.
func rebind(brw *bufio.ReadWriter, c net.Conn, early []byte) {
	brw.Writer.Reset(c)
	if len(early) == 0 {
		brw.Reader.Reset(c)
		return
	}
	brw.Reader.Reset(io.MultiReader(bytes.NewReader(early), c))
	_, _ = brw.Reader.Peek(len(early))
}

// A webSocket carries a response over the WebSocket that was hijacked for it.
type webSocket struct{ *wsconn.Conn }

func (w webSocket) outcome(canceled bool) tracked.Outcome {
	switch s := w.State(); {
	case s.Said && s.Answered:
		return tracked.Told
	case s.Said:
		return tracked.Unanswered
	case s.CutOff:
		return tracked.Cut
	case canceled:
		return tracked.Canceled
	}
	return tracked.Completed
}
