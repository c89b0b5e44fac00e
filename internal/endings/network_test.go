package endings

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A network is a listener in memory whose connections behave as TCP's do, as far as the end of a
// response depends on it: each direction has a buffer of limited size and is closed by itself, and
// who closes a connection with bytes unread resets it. Made in a synctest bubble, all of it belongs
// to the bubble.
type network struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	buffer int  // bytes in each direction
	harsh  bool // a reset destroys what its peer hasn't read; else it comes behind that, as on Linux
}

func newNetwork(buffer int, harsh bool) *network {
	return &network{harsh: harsh, conns: make(chan net.Conn), closed: make(chan struct{}), buffer: buffer}
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.conns:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

type address string

func (a address) Network() string { return "memory" }
func (a address) String() string  { return string(a) }

func (n *network) Addr() net.Addr { return address("server") }

func (n *network) dial() (net.Conn, error) {
	w := &wire{harsh: n.harsh, changed: make(chan struct{})}
	for i := range w.ends {
		w.ends[i] = &end{wire: w, most: n.buffer}
	}
	w.ends[0].peer, w.ends[1].peer = w.ends[1], w.ends[0]
	select {
	case n.conns <- w.ends[1]:
		return w.ends[0], nil
	case <-n.closed:
		return nil, syscall.ECONNREFUSED
	}
}

// A wire is a connection.
type wire struct {
	harsh   bool
	mu      sync.Mutex    // guards following, and those of its ends
	changed chan struct{} // closed, and made anew, when something has changed
	ends    [2]*end
}

func (w *wire) change() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// An end is one side's end of a wire.
type end struct {
	*wire
	peer       *end
	most       int
	in         []byte // what the peer has sent, and this side hasn't read
	finSent    bool   // no more is sent
	readClosed bool   // the same as shutdown(SHUT_RD) of Linux: what comes can still be read, and in place of waiting there is the end
	closed     bool
	reset      bool // by the peer
	abortive   bool // SetLinger(0)
	closing    bool // by TLS, which says so first
	readBy     time.Time
	writeBy    time.Time
}

// await calls ready, with the lock held, until it reports true or the deadline has passed.
func (e *end) await(deadline *time.Time, ready func() bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		by := *deadline
		if !by.IsZero() && !time.Now().Before(by) && !e.closed {
			return os.ErrDeadlineExceeded
		}
		if ready() {
			return nil
		}
		changed := e.changed
		e.mu.Unlock()
		var timeout <-chan time.Time
		var timer *time.Timer
		if !by.IsZero() {
			timer = time.NewTimer(time.Until(by))
			timeout = timer.C
		}
		select {
		case <-changed:
		case <-timeout:
		}
		if timer != nil {
			timer.Stop()
		}
		e.mu.Lock()
	}
}

func (e *end) Read(p []byte) (n int, err error) {
	late := e.await(&e.readBy, func() bool {
		switch {
		case e.closed:
			err = net.ErrClosed
		case len(p) == 0:
		case len(e.in) > 0:
			n = copy(p, e.in)
			e.in = e.in[n:]
			e.change()
		case e.reset:
			err = syscall.ECONNRESET
		case e.readClosed, e.peer.finSent, e.peer.closed:
			err = io.EOF
		default:
			return false
		}
		return true
	})
	return n, e.opError("read", errors.Join(late, err))
}

func (e *end) Write(p []byte) (n int, err error) {
	late := e.await(&e.writeBy, func() bool {
		switch {
		case e.closed:
			err = net.ErrClosed
		case e.reset:
			err = syscall.ECONNRESET
		case e.finSent:
			err = syscall.EPIPE
		case e.peer.closed:
			n = len(p) // the answer to it is a reset
			e.resetBy()
		default:
			room := min(e.most-len(e.peer.in), len(p)-n)
			if e.closing {
				room = len(p) - n
			}
			if room > 0 {
				e.peer.in = append(e.peer.in, p[n:n+room]...)
				n += room
				e.change()
			}
			return n == len(p)
		}
		return true
	})
	return n, e.opError("write", errors.Join(late, err))
}

// resetBy has a reset from the peer arrive.
func (e *end) resetBy() {
	e.reset = true
	if e.harsh {
		e.in = nil
	}
	e.change()
}

func (e *end) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return net.ErrClosed
	}
	e.closed = true
	if (len(e.in) > 0 || e.abortive) && !e.peer.closed {
		e.peer.resetBy()
	}
	e.in = nil
	e.change()
	return nil
}

func (e *end) CloseWrite() error { return e.set(func() { e.finSent = true }) }
func (e *end) CloseRead() error  { return e.set(func() { e.readClosed = true }) }

func (e *end) SetLinger(sec int) error { return e.set(func() { e.abortive = sec == 0 }) }

func (e *end) SetReadDeadline(t time.Time) error { return e.set(func() { e.readBy = t }) }

// SetWriteDeadline finds room for the alert with which a tls.Conn is closed. The tls.Conn gives it
// 5 s, in which http.Server.Close holds the lock that its connections wait for, and in a bubble no
// time passes while anybody waits for a lock.
func (e *end) SetWriteDeadline(t time.Time) error {
	closing := time.Until(t) == 5*time.Second
	return e.set(func() { e.writeBy, e.closing = t, closing })
}

func (e *end) SetDeadline(t time.Time) error {
	return e.set(func() { e.readBy, e.writeBy = t, t })
}

func (e *end) set(f func()) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return net.ErrClosed
	}
	f()
	e.change()
	return nil
}

func (e *end) LocalAddr() net.Addr  { return address("memory") }
func (e *end) RemoteAddr() net.Addr { return address("memory") }

func (e *end) opError(op string, err error) error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok && len(joined.Unwrap()) == 1 {
		err = joined.Unwrap()[0]
	}
	if err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "memory", Err: err}
}
