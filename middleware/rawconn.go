package middleware

import (
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// A rawConn carries a response over a hijacked connection whose protocol we don't know: h2c, SPDY,
// a CONNECT's tunnel. The drain writes nothing into it: it cancels the context, and then closes it.
type rawConn struct {
	net.Conn
	*hijacked
	copying atomic.Int32 // copies that are left to the kernel
	closed  atomic.Bool  // by the handler
	wasCut  atomic.Bool
}

func (c *rawConn) Read(p []byte) (int, error)  { return c.note(c.Conn.Read(p)) }
func (c *rawConn) Write(p []byte) (int, error) { return c.note(c.Conn.Write(p)) }

// note notes the result of a Read or a Write and returns it, its error as that of a drain after
// Cut.
func (c *rawConn) note(n int, err error) (int, error) {
	if n > 0 {
		c.x.byteMoved()
	}
	if err != nil && err != io.EOF && c.wasCut.Load() {
		err = drained(err)
	}
	return n, err
}

func (c *rawConn) Close() error {
	err := c.Conn.Close()
	if c.closed.CompareAndSwap(false, true) {
		c.done(connClosed)
	}
	return err
}

// The optional methods of a connection, beyond net.Conn's.
const (
	canCloseRead = 1 << iota // by this and the next a proxy passes a half-close on
	canCloseWrite
	canSyscall
	canCopy // ReadFrom and WriteTo, by which the kernel copies by itself
)

type (
	closeReader interface{ CloseRead() error }
	closeWriter interface{ CloseWrite() error }
)

// Handle returns what the handler gets: the rawConn, with those of the optional methods that the
// connection has. What is moved through SyscallConn doesn't change the time of the last byte.
func (c *rawConn) Handle() net.Conn {
	has := 0
	r, ok := c.Conn.(closeReader)
	if ok {
		has |= canCloseRead
	}
	w, ok := c.Conn.(closeWriter)
	if ok {
		has |= canCloseWrite
	}
	s, ok := c.Conn.(syscall.Conn)
	if ok {
		has |= canSyscall
	}
	from, ok := c.Conn.(io.ReaderFrom)
	to, both := c.Conn.(io.WriterTo)
	if ok && both {
		has |= canCopy
	}
	return c.handleWith(has, r, w, s, copier{c, from, to})
}

// A copier has the kernel copy, which alone knows how far it has come: see LastByte.
type copier struct {
	c    *rawConn
	from io.ReaderFrom // c's connection
	to   io.WriterTo   // the same
}

func (k copier) ReadFrom(src io.Reader) (int64, error) {
	if _, known := lastMoved(k.c.Conn); !known {
		return io.Copy(struct{ io.Writer }{k.c}, src)
	}
	return k.copy(func() (int64, error) { return k.from.ReadFrom(src) })
}

func (k copier) WriteTo(dst io.Writer) (int64, error) {
	if _, known := lastMoved(k.c.Conn); !known {
		return io.Copy(dst, struct{ io.Reader }{k.c})
	}
	return k.copy(func() (int64, error) { return k.to.WriteTo(dst) })
}

func (k copier) copy(f func() (int64, error)) (int64, error) {
	k.c.copying.Add(1)
	defer k.c.copying.Add(-1)
	n, err := f()
	if n > 0 {
		k.c.x.byteMoved()
	}
	return n, err
}

// NetConn returns the connection inside. The drain doesn't see what is read from it or written to
// it.
func (c *rawConn) NetConn() net.Conn { return c.Conn }

// These methods and Cut implement [tracked.Carrier].

func (c *rawConn) Farewell(policy.Farewell, time.Duration) {}
func (c *rawConn) DropMessage()                            {}
func (c *rawConn) Finish()                                 {}

func (c *rawConn) LastByte() time.Time {
	last := c.x.LastByte()
	if c.copying.Load() > 0 {
		if moved, known := lastMoved(c.Conn); known && moved.After(last) {
			return moved
		}
	}
	return last
}

func (c *rawConn) Cut() {
	if !c.closed.Load() {
		c.wasCut.Store(true)
		closeHard(c.Conn)
	}
}

func (c *rawConn) Swallowed() int64 { return 0 }

func (c *rawConn) outcome(canceled bool) tracked.Outcome {
	switch {
	case c.wasCut.Load():
		return tracked.Cut
	case canceled:
		return tracked.Canceled
	}
	return tracked.Completed
}
