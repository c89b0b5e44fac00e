package middleware

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// A rawConn carries a response over a hijacked connection whose protocol we don't know: h2c, SPDY,
// a CONNECT's tunnel. The drain writes nothing into it: it cancels the context, and then closes it.
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

func (c *rawConn) Read(p []byte) (int, error)  { return c.moved(c.Conn.Read(p)) }
func (c *rawConn) Write(p []byte) (int, error) { return c.moved(c.Conn.Write(p)) }

// moved returns what a Read or a Write returned, and calls byteMoved if it moved any bytes.
func (c *rawConn) moved(n int, err error) (int, error) {
	if n > 0 {
		c.hijacked.x.byteMoved()
	}
	return n, err
}

func (c *rawConn) Close() error {
	err := c.Conn.Close()
	if c.closed.CompareAndSwap(false, true) {
		c.hijacked.done()
	}
	return err
}

// NetConn returns the connection inside. The drain doesn't see what is read from it or written to
// it.
func (c *rawConn) NetConn() net.Conn { return c.Conn }

// These methods and Cut implement [tracked.Carrier].

func (c *rawConn) Farewell(policy.Farewell, time.Duration) {}
func (c *rawConn) DropMessage()                            {}
func (c *rawConn) Finish()                                 {}
func (c *rawConn) LastByte() time.Time                     { return c.hijacked.x.LastByte() }

func (c *rawConn) Cut() {
	if !c.closed.Load() {
		c.wasCut.Store(true)
		closeHard(c.Conn)
	}
}

func (c *rawConn) outcome(canceled bool) tracked.Outcome {
	switch {
	case c.wasCut.Load():
		return tracked.Cut
	case canceled:
		return tracked.Canceled
	}
	return tracked.Completed
}
