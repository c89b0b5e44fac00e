package ws

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Options say what was known of a connection when it was hijacked. The zero Options are right for a library that
// writes the 101 itself, with nothing read ahead.
type Options struct {
	// Switched tells that the 101 went out before the hijack, so that frames begin with the first byte written. Else
	// the first bytes are an HTTP response head: a 101 is followed by frames, and after any other status, or a head
	// over 64 KiB, nothing is followed.
	Switched bool

	// Early holds bytes of the peer that the HTTP server had read before the hijack. They are only looked at, for the
	// peer's Close: Read doesn't return them. New doesn't keep the slice.
	Early []byte

	// OnClose, if set, is called exactly once, with no lock held, when the connection is closed and the handler has
	// called Close: its State is final then, and no goroutine of the Conn is left but the caller. It must not block.
	OnClose func()
}

// A Conn is the connection that a handler writes frames to. Make it with [New] and give the handler [Conn.Handle].
// All methods may be called concurrently.
//
// The methods of net.Conn are the handler's; Farewell, Insist, Finish and Cut are for whoever ends the connection. Until
// one of these is called, a Conn is transparent: same bytes, same errors, same deadlines. It has no
// goroutine and no timer that runs while it is idle, and allocates nothing in Read and Write.
type Conn struct {
	inner   net.Conn
	onClose func()
	born    time.Time

	flags atomic.Uint32 // of type fact, see there
	last  atomic.Int64  // nanoseconds from born to the last byte

	order  atomic.Pointer[order] // what is to be said, once asked
	insist atomic.Bool           // say it without a message
	posted atomic.Bool           // order or insist changed, and perhaps nobody has looked since

	settling atomic.Int32 // those that look now
	staying  atomic.Int32 // the handler until it has called Close, and what goes on for it

	writing turn     // to write to inner
	out     outgoing // owned by who has writing

	gathers bool        // whether anything is held
	held    *held       // owned by who has writing
	armed   atomic.Bool // the timer runs, and then sends what is held
	expires atomic.Bool // it is at that
	timer   *time.Timer // guarded by mu; nil until something was held

	reading turn     // to read from inner
	in      incoming // owned by who has reading

	mu sync.Mutex // makes a claim (saying, taken, ended, closed) one with the deadline that goes with it; never held across I/O
}

// New returns a Conn over inner, which nobody else may write to or read from any more. What inner has beyond net.Conn is
// hidden, but for CloseWrite: see [Conn.Handle].
func New(inner net.Conn, o Options) *Conn {
	c := &Conn{
		inner:   inner,
		onClose: o.OnClose,
		born:    time.Now(),
		writing: newTurn(),
		reading: newTurn(),
		gathers: gathers(inner),
	}
	c.staying.Store(1)
	if o.Switched {
		c.out.phase = inFrames
	}
	if c.in.follow(o.Early) {
		c.note(answered)
	}
	return c
}

// Handle is what the handler gets: the Conn, with a method CloseWrite if the inner connection has one, since proxies
// look for it to pass a half-close on.
func (c *Conn) Handle() net.Conn {
	if _, ok := c.inner.(closeWriter); ok {
		return halfConn{c}
	}
	return c
}

// NetConn returns the inner connection, as tls.Conn's does. What is written to it or read from it directly goes past the
// Conn, which then misreads all that follows: a farewell would land inside a frame. It is there to look at (addresses,
// TLS state, socket options).
func (c *Conn) NetConn() net.Conn { return c.inner }

// LocalAddr returns the inner connection's local address.
func (c *Conn) LocalAddr() net.Addr { return c.inner.LocalAddr() }

// RemoteAddr returns the inner connection's remote address.
func (c *Conn) RemoteAddr() net.Addr { return c.inner.RemoteAddr() }

// LastByte returns when a byte last moved, either way, to within 10 ms, or when the Conn was made if none has.
func (c *Conn) LastByte() time.Time { return c.born.Add(time.Duration(c.last.Load())) }

// touch takes note of the time. While the timer runs it is left to that, since to ask for the time is the dearest of what
// a Read or a Write costs.
func (c *Conn) touch() {
	if !c.armed.Load() {
		c.last.Store(int64(time.Since(c.born)))
	}
}

// Read reads from the peer. After a farewell it goes on until the peer's Close has been returned in full, and is
// io.EOF from then on; after Finish it is io.EOF at once, a pending Read too.
func (c *Conn) Read(p []byte) (int, error) {
	if !c.reading.try() {
		if err := c.unreadable(); err != nil {
			return 0, err // without a turn: whoever took the reading over may keep it for long
		}
		c.reading.take()
	}
	defer c.reading.release()
	if err := c.unreadable(); err != nil {
		return 0, err
	}
	n, err := c.inner.Read(p)
	c.arrived(p[:n])
	if err != nil && c.has(taken) {
		err = nil
		if n == 0 {
			err = c.unreadable()
		}
	}
	return n, err
}

func (c *Conn) unreadable() error {
	switch f := c.facts(); {
	case f&closed != 0:
		return c.closedError("read")
	case f&taken != 0, f&(said|answered) == said|answered:
		return io.EOF
	}
	return nil
}

// arrived takes note of bytes of the peer. The caller has the turn to read.
func (c *Conn) arrived(p []byte) {
	if len(p) == 0 {
		return
	}
	c.touch()
	if !c.in.closed && c.in.follow(p) {
		c.note(answered)
	}
}

// Write writes to the peer. If a farewell is due and p reaches the boundary that it waits for, Write says it before it
// returns. Afterwards it writes nothing and reports success, so that the handler can unwind, until the connection is closed.
//
// On a TCP or Unix connection, a p of up to 4 KiB that is the beginning of a frame is kept and goes out with the Write of
// the rest, in one packet, or alone after 10 ms, or when the handler closes or half-closes. An error that sending it
// meets is the next Write's.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.write(p)
	if err == nil && c.posted.Load() { // else it is left to the next: this caller wants to hear of its error, not wait for a peer
		c.settle()
	}
	return n, err
}

func (c *Conn) write(p []byte) (int, error) {
	if !c.writing.try() {
		if done, err := c.unwritable(); done {
			return swallowed(p, err) // without a turn: a farewell may take long to go out
		}
		c.writing.take()
	}
	defer c.writing.release()
	if done, err := c.unwritable(); done {
		return swallowed(p, err)
	}
	if words, message := c.words(); words != nil {
		if k := c.out.boundary(p, message); k >= 0 {
			return c.writeLast(p, k, words)
		}
	}
	return c.pass(p)
}

// writeLast writes p's first k bytes and the farewell, and swallows the rest of p.
func (c *Conn) writeLast(p []byte, k int, words []byte) (int, error) {
	if k > 0 {
		if n, err := c.pass(p[:k]); err != nil || n < k {
			return n, err
		}
	}
	c.say(words)
	return len(p), nil
}

// unwritable tells whether the handler's bytes go nowhere any more, and with which error.
func (c *Conn) unwritable() (bool, error) {
	switch f := c.facts(); {
	case f&closed != 0, f&saying != 0 && f&shut != 0:
		return true, c.closedError("write")
	case f&saying != 0:
		return true, nil
	}
	return false, nil
}

func swallowed(p []byte, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// pass writes p through and follows what went out of it. The caller has the turn to write.
func (c *Conn) pass(p []byte) (int, error) {
	if c.hold(p) {
		return len(p), nil
	}
	n, err := c.send(p)
	if n <= 0 {
		return n, err
	}
	c.touch()
	if c.out.phase == opaque {
		return n, err
	}
	c.out.follow(p[:n])
	if c.out.phase == opaque {
		c.note(lost)
	}
	if c.out.closed {
		c.note(sent)
	}
	return n, err
}

// closedError is what a closed net.Conn returns.
func (c *Conn) closedError(op string) error {
	err := &net.OpError{Op: op, Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: net.ErrClosed}
	if err.Addr != nil {
		err.Net = err.Addr.Network()
	}
	return err
}
