package middleware

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// A rawConn carries a response over a hijacked connection whose protocol we don't know: h2c, SPDY,
// a CONNECT's tunnel. Nothing is ever written into it. The handler is told through its context, and
// in the end the connection is closed.
type rawConn struct {
	net.Conn
	hijacked *hijacked
	closed   atomic.Bool // by the handler
	wasCut   atomic.Bool
}

// handle returns what the handler gets, with CloseWrite where the connection has it: proxies ask
// for that to pass a half-close on.
func (c *rawConn) handle() net.Conn {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return halfCloseConn{c, w.CloseWrite}
	}
	return c
}

type halfCloseConn struct {
	*rawConn
	closeWrite func() error
}

func (c halfCloseConn) CloseWrite() error { return c.closeWrite() }

func (c *rawConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.hijacked.x.touch()
	}
	return n, err
}

func (c *rawConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if n > 0 {
		c.hijacked.x.touch()
	}
	return n, err
}

func (c *rawConn) Close() error {
	err := c.Conn.Close()
	if c.closed.CompareAndSwap(false, true) {
		c.hijacked.holderLeft()
	}
	return err
}

// NetConn returns the connection inside. Writing to it or closing it goes past the drain, which
// then knows nothing of that.
func (c *rawConn) NetConn() net.Conn { return c.Conn }

// Farewell implements [tracked.Carrier].
func (c *rawConn) Farewell(policy.Farewell, time.Duration) {}

// DropMessage implements [tracked.Carrier].
func (c *rawConn) DropMessage() {}

// Finish implements [tracked.Carrier].
func (c *rawConn) Finish() {}

// Cut implements [tracked.Carrier].
func (c *rawConn) Cut() {
	if !c.closed.Load() {
		c.wasCut.Store(true)
		closeHard(c.Conn)
	}
}

// LastByte implements [tracked.Carrier].
func (c *rawConn) LastByte() time.Time { return c.hijacked.x.LastByte() }

func (c *rawConn) outcome(canceled bool) tracked.Outcome {
	switch {
	case c.wasCut.Load():
		return tracked.Cut
	case canceled:
		return tracked.Canceled
	}
	return tracked.Completed
}
