// Package wsconn ends WebSocket connections that another library reads and writes.
//
// A [Conn] wraps such a connection. It passes every byte on, and follows where frames and messages
// begin and end. On request it writes a farewell between two frames of the handler's (an optional
// last message, which may not come within another, and a Close frame), discards what the handler
// writes after it, and completes the closing handshake.
//
// The caller decides when, and checks first that the request asks for a WebSocket.
package wsconn

import (
	"bytes"
	"cmp"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/iolock"
	"github.com/lastcall-go/lastcall/policy"
)

// Options are for [New]. The zero Options are right if the handler writes the 101 response itself
// and nothing was read from the peer yet. None of the functions may block.
type Options struct {
	// Upgraded is true if the 101 response was sent. Otherwise the handler writes its head first.
	Upgraded bool

	// Early holds what was read from the peer before. New looks for the peer's Close frame in it,
	// and doesn't keep it. Read doesn't return it.
	Early []byte

	// Abort closes the connection at once. Nil: the connection's Close does. TLS needs another,
	// since its Close may spend 5 seconds on writing an alert.
	Abort func()

	// BeforeFarewell, if set, is called right before a farewell is written. If it returns false,
	// the farewell is dropped, and Farewell can be called again.
	BeforeFarewell func() bool

	// Ended, if set, is called with the error of a Read or Write of the handler's after Cut or the
	// end of a farewell has closed the connection, and the handler hasn't. The handler gets the
	// error that it returns.
	Ended func(error) error

	// OnAnswer, if set, is called before the handler's Read returns the Close frame with which the
	// peer answers a farewell.
	OnAnswer func()

	// OnClose, if set, is called once, with no lock held, when the connection is closed and the
	// handler has called Close. State is final then, and all goroutines of the Conn's have ended,
	// but for the one that calls OnClose.
	OnClose func()
}

// A Conn is the connection that a handler writes frames to. Make it with [New] and give the handler
// [Conn.Handle]. All methods may be called concurrently.
//
// The handler calls the methods of net.Conn, and whoever ends the connection calls Farewell,
// DropMessage, Finish and Cut. Before that the handler sees the same bytes, errors and deadlines as
// without a Conn. An idle Conn has no goroutine and no running timer.
type Conn struct {
	// Immutable.
	inner       net.Conn
	closeWriter interface{ CloseWrite() error } // inner; nil: it can't be half-closed
	options     Options
	coalesces   bool // see coalesce.go
	born        time.Time

	lastByte  atomic.Int64 // nanoseconds from born to the last byte
	swallowed atomic.Int64 // see Swallowed

	// Locks are taken in this order: lingering, reading, writing, mu.

	writing iolock.Lock   // held while writing to inner; see flushPending
	out     format.Frames // sent to the peer; guarded by writing
	kept    bytes.Buffer  // the beginning of a frame; guarded by writing; see coalesce.go

	reading   iolock.Lock   // held while the handler reads from inner
	lingering iolock.Lock   // held while linger reads from inner, once the handler's last Read is over
	in        format.Frames // received from the peer; guarded by reading, then by lingering

	pending  atomic.Bool  // farewell was set, and tryFarewell hasn't been called since
	flushing atomic.Int32 // goroutines in flushPending

	// ending is true once one of farewell, readsEnded and state.HandlerClosed was set. Until then
	// Read and Write don't need mu.
	ending atomic.Bool

	// mu guards what follows. It is never held across I/O.
	mu sync.Mutex

	state         State
	farewell      *policy.Farewell // expanded, and never changed, only replaced; nil: none to write
	farewellBegun bool             // the handler's writes and write deadlines are ignored
	writesEnded   bool             // the handler has called CloseWrite: no farewell begins any more
	readsEnded    bool             // the handler's Reads return io.EOF
	finished      bool             // Finish was called
	halfClosed    bool             // halfClose has half-closed inner
	innerClosing  bool             // inner is being closed, or was
	innerClosed   bool

	// refs counts what OnClose waits for: inner until it is closed, the handler until it has called
	// Close, and each goroutine of the Conn's.
	refs int

	timer        *time.Timer // of coalescing; nil until it is first needed
	timerRunning bool
	timersFiring int // calls of timerFired that have not returned; one that is stuck doesn't keep others away
}

// State is what has happened to a connection so far. Nothing of it is ever taken back.
type State struct {
	// Lost is true if what the handler sent can't be followed: a refused upgrade, another protocol,
	// masked frames. Then no farewell is written.
	Lost bool

	FarewellWritten  bool // to the end of its Close frame
	HandlerSentClose bool // a Close frame of its own, before a farewell
	PeerSentClose    bool // before our Close frame or after it
	HandlerClosed    bool // the handler has called Close
	WasCut           bool // Cut closed the connection
}

// Swallowed returns how many bytes the handler has written behind a farewell.
func (c *Conn) Swallowed() int64 { return c.swallowed.Load() }

// New returns a Conn over inner, which nobody else may read or write any more.
func New(inner net.Conn, o Options) *Conn {
	c := &Conn{
		inner:   inner,
		options: o,
		born:    time.Now(),
		out:     format.Frames{Upgraded: o.Upgraded},
		in:      format.Frames{Upgraded: true, FromClient: true},
		refs:    2,
	}
	c.options.Early = nil
	c.closeWriter, _ = inner.(interface{ CloseWrite() error })
	switch inner.(type) {
	case *net.TCPConn, *net.UnixConn: // on these net.Buffers makes one packet too
		c.coalesces = true
	}
	_, _ = c.in.Write(o.Early)
	c.state.PeerSentClose = c.in.Closed
	return c
}

// Handle returns what the handler gets: the Conn, with the methods CloseWrite and CloseRead if
// inner has them. Proxies look for those, to pass a half-close on. Other methods of inner's are
// left out, in particular ReadFrom, WriteTo and SyscallConn, whose bytes nobody could follow.
func (c *Conn) Handle() net.Conn {
	if c.closeWriter == nil {
		return c
	}
	if _, ok := c.inner.(interface{ CloseRead() error }); ok {
		return readCloser{halfCloser{c}}
	}
	return halfCloser{c}
}

// NetConn returns the inner connection, as tls.Conn's does, for its addresses, TLS state and socket
// options. Whoever reads or writes it directly can have a farewell written within a frame.
func (c *Conn) NetConn() net.Conn { return c.inner }

// LocalAddr and RemoteAddr implement [net.Conn].
func (c *Conn) LocalAddr() net.Addr  { return c.inner.LocalAddr() }
func (c *Conn) RemoteAddr() net.Addr { return c.inner.RemoteAddr() }

// LastByte returns when a byte was last sent or received, or if none was, when the Conn was made.
func (c *Conn) LastByte() time.Time { return c.born.Add(time.Duration(c.lastByte.Load())) }

func (c *Conn) touch() { c.lastByte.Store(int64(time.Since(c.born))) }

// State returns the current state.
func (c *Conn) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// update changes the state, unless it is final: see OnClose.
func (c *Conn) update(change func(*State)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refs > 0 {
		change(&c.state)
	}
}

// Read reads from the peer. It returns io.EOF once the write of a farewell has begun and Read has
// returned the peer's whole Close frame, and once Finish was called, even to a Read that is
// blocked.
func (c *Conn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.ending.Load() {
		if err := c.readError(nil); err != nil {
			return 0, err
		}
	}
	n, err := c.inner.Read(p)
	c.received(p[:n])
	if err != nil {
		err = c.endedError(c.readError(err))
	}
	return n, err
}

// endedError returns what the handler gets in place of err: see Options.Ended. An io.EOF stays.
func (c *Conn) endedError(err error) error {
	if c.options.Ended == nil || err == io.EOF {
		return err
	}
	c.mu.Lock()
	ended := !c.state.HandlerClosed && (c.state.WasCut || c.farewellBegun && c.innerClosed)
	c.mu.Unlock()
	if ended {
		return c.options.Ended(err)
	}
	return err
}

// readError returns what a Read returns for err, which it got from inner. With a nil err, before
// inner is asked, it returns nil if inner may be read.
func (c *Conn) readError(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil && !c.readsEnded:
		return err
	case c.state.HandlerClosed:
		return c.closedError("read")
	case c.readsEnded, c.farewellBegun && c.state.PeerSentClose:
		return io.EOF // the peer may answer before the write of the farewell has returned
	}
	return nil
}

// received follows bytes from the peer. The caller holds the lock that guards c.in.
func (c *Conn) received(p []byte) {
	if len(p) == 0 {
		return
	}
	c.touch()
	wasClosed := c.in.Closed
	if _, _ = c.in.Write(p); c.in.Closed && !wasClosed {
		begun := false
		c.update(func(s *State) { s.PeerSentClose, begun = true, c.farewellBegun })
		if begun && c.options.OnAnswer != nil {
			c.options.OnAnswer()
		}
		c.halfClose()
	}
}

// Write writes to the peer. If a farewell is due and p reaches a boundary for it, Write writes the
// farewell there. From then on it discards p and returns success, until the connection is closed.
// On a TCP or Unix connection it may keep the beginning of a frame for a moment: see coalesce.go.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.write(p)
	if err != nil {
		return n, c.endedError(err)
	}
	c.flushPending() // not after an error, which the handler must get at once
	return n, nil
}

func (c *Conn) write(p []byte) (int, error) {
	if !c.writing.TryLock() {
		if n, discarded, err := c.discard(p); discarded {
			return n, err // without waiting: the farewell's write may block
		}
		c.writing.Lock()
	}
	defer c.writing.Unlock()
	if n, discarded, err := c.discard(p); discarded {
		return n, err
	}
	f, end := c.dueFarewell(), -1
	if f != nil {
		end = c.out.Boundary(p, f.Message != "")
	}
	if end < 0 {
		return c.writeThrough(p)
	}
	if end > 0 {
		if n, err := c.writeThrough(p[:end]); err != nil || n < end {
			return n, err
		}
	}
	if c.writeFarewell(f) || end == len(p) {
		c.swallowed.Add(int64(len(p) - end))
		return len(p), nil
	}
	n, err := c.writeThrough(p[end:])
	return end + n, err
}

// discard reports whether p, from the handler, is to be discarded. If so, it also returns the
// results of the handler's Write.
func (c *Conn) discard(p []byte) (n int, discarded bool, err error) {
	if !c.ending.Load() {
		return 0, false, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state.HandlerClosed, c.farewellBegun && c.innerClosed:
		return 0, true, c.closedError("write")
	case c.farewellBegun:
		c.swallowed.Add(int64(len(p)))
		return len(p), true, nil
	}
	return 0, false, nil
}

// writeThrough sends or keeps p, and follows it. The caller holds writing.
func (c *Conn) writeThrough(p []byte) (int, error) {
	if c.keep(p) {
		return len(p), nil
	}
	n, err := c.send(p)
	if n <= 0 {
		return n, err
	}
	c.touch()
	_, _ = c.out.Write(p[:n])
	if lost, closed := c.out.Lost, c.out.Closed; lost || closed {
		c.update(func(s *State) { s.Lost, s.HandlerSentClose = lost, closed })
	}
	return n, err
}

// closedError returns the error of a closed net.Conn.
func (c *Conn) closedError(op string) error {
	err := &net.OpError{Op: op, Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: net.ErrClosed}
	if err.Addr != nil {
		err.Net = err.Addr.Network()
	}
	return err
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *Conn) SetDeadline(t time.Time) error {
	return cmp.Or(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline has no effect after endReads.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.readsEnded {
		return nil
	}
	return c.inner.SetReadDeadline(t)
}

// SetWriteDeadline has no effect once the write of a farewell has begun.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.farewellBegun {
		return nil
	}
	return c.inner.SetWriteDeadline(t)
}
