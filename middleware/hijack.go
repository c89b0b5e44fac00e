package middleware

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
	"github.com/lastcall-go/lastcall/ws"
)

// hijack is the handler's Hijack. The response lives on in the connection, which
// is the response's link from now on.
func (x *exchange) hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !x.turn.take() {
		return nil, nil, errOver
	}
	defer x.yield()
	conn, brw, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return conn, brw, err
	}
	if x.cut.Load() {
		hardClose(conn) // net/http has just taken the deadlines off it
	}
	early, _ := brw.Reader.Peek(brw.Reader.Buffered())
	early = bytes.Clone(early)
	t := &takeover{x: x}
	t.open.Store(2)
	x.grow().taken = t
	x.looked = true // what goes out now is the connection's, and no header goes with it

	var handle net.Conn
	protocol := stream.Hijacked
	if isWebSocket(&x.req) {
		protocol = stream.WebSocket
		t.socket = ws.New(conn, ws.Options{Switched: x.code == http.StatusSwitchingProtocols, Early: early, OnClose: t.connClosed})
		handle = t.socket.Handle()
	} else {
		t.tunnel = &tunnel{Conn: conn, touch: x.touch, closed: t.connClosed}
		handle = t.tunnel.handle()
	}
	rebind(brw, handle, early)
	x.Hand(t, protocol, x.req.Pattern)
	return handle, brw, nil
}

// hijacked tells whether the handler has hijacked the connection.
func (x *exchange) hijacked() bool { return x.tail != nil && x.tail.taken != nil }

// isWebSocket tells whether a request asks for a WebSocket (RFC 6455, section
// 4.2.1). Whether it gets one is for the response to show.
func isWebSocket(r *http.Request) bool {
	for _, v := range r.Header.Values("Upgrade") {
		for part := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(part), "websocket") {
				return true
			}
		}
	}
	return false
}

// rebind makes the buffers that Hijack gave go through our connection, with the
// bytes that the server had read already still in them: x/net and coder write
// frames through this writer, and gorilla counts what is buffered.
func rebind(brw *bufio.ReadWriter, c net.Conn, early []byte) {
	brw.Writer.Reset(c)
	if len(early) == 0 {
		brw.Reader.Reset(c)
		return
	}
	brw.Reader.Reset(io.MultiReader(bytes.NewReader(early), c))
	_, _ = brw.Reader.Peek(len(early))
}

// A takeover is the link of a response whose connection was hijacked. It ends
// when the connection is closed and the handler has returned: a handler may
// hand the connection to goroutines of its own and leave, or outlast it.
type takeover struct {
	x      *exchange
	socket *ws.Conn // one of these two
	tunnel *tunnel
	open   atomic.Int32 // the connection and the handler
}

func (t *takeover) handlerReturned() { t.less() }
func (t *takeover) connClosed()      { t.less() }

func (t *takeover) less() {
	if t.open.Add(-1) == 0 {
		t.x.d.end(&t.x.Entry, t.outcome())
	}
}

func (t *takeover) outcome() stream.Outcome {
	if t.tunnel != nil {
		switch {
		case t.tunnel.cut.Load():
			return stream.Cut
		case t.x.Cancelled():
			return stream.Cancelled
		}
		return stream.Completed
	}
	switch s := t.socket.State(); {
	case s.Said && s.Answered:
		return stream.Told
	case s.Said:
		return stream.Unanswered
	case s.CutOff:
		return stream.Cut
	case t.x.Cancelled():
		return stream.Cancelled
	}
	return stream.Completed
}

// Farewell implements [stream.Link].
func (t *takeover) Farewell(f policy.Farewell, retry time.Duration) {
	if t.socket != nil {
		t.socket.Farewell(closing(f.Expand(retry)))
	}
}

// Insist implements [stream.Link].
func (t *takeover) Insist() {
	if t.socket != nil {
		t.socket.Insist()
	}
}

// Finish implements [stream.Link].
func (t *takeover) Finish() {
	if t.socket != nil {
		t.socket.Finish()
	}
}

// Cut implements [stream.Link].
func (t *takeover) Cut() {
	if t.socket != nil {
		t.socket.Cut()
		return
	}
	t.tunnel.cutOff()
}

// LastByte implements [stream.Link].
func (t *takeover) LastByte() time.Time {
	if t.socket != nil {
		return t.socket.LastByte()
	}
	return t.x.LastByte()
}

// A tunnel is a hijacked connection that carries something we don't know: h2c,
// SPDY, a CONNECT. Nothing is ever written into it; it is told through its
// context alone, and closed in the end.
type tunnel struct {
	net.Conn
	touch  func()
	closed func()
	done   atomic.Bool // the handler has called Close
	cut    atomic.Bool
}

// handle gives what the handler gets, with CloseWrite where the connection
// inside has it: proxies pass a half-close on by asking for that.
func (t *tunnel) handle() net.Conn {
	if _, ok := t.Conn.(closeWriter); ok {
		return halfTunnel{t}
	}
	return t
}

type closeWriter interface{ CloseWrite() error }

type halfTunnel struct{ *tunnel }

func (t halfTunnel) CloseWrite() error { return t.Conn.(closeWriter).CloseWrite() }

func (t *tunnel) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if n > 0 {
		t.touch()
	}
	return n, err
}

func (t *tunnel) Write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	if n > 0 {
		t.touch()
	}
	return n, err
}

func (t *tunnel) Close() error {
	err := t.Conn.Close()
	if t.done.CompareAndSwap(false, true) {
		t.closed()
	}
	return err
}

// NetConn gives the connection inside. To write to it or close it directly goes
// past the drain, which then knows nothing of that.
func (t *tunnel) NetConn() net.Conn { return t.Conn }

func (t *tunnel) cutOff() {
	if !t.done.Load() {
		t.cut.Store(true)
		hardClose(t.Conn)
	}
}

func resetOnClose(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if l, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0)
	}
}

// hardClose closes a connection without a word: the close of a tls.Conn would
// wait up to five seconds for a peer that doesn't read.
func hardClose(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	_ = c.Close()
}
