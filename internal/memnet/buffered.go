package memnet

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// NewBuffered returns a network whose connections hold up to size bytes in each direction that the
// peer has not read yet, as those of TCP do. Its connections have CloseWrite and SetLinger: after
// SetLinger(0), Close is a reset, which the peer meets as an error.
func NewBuffered(size int) *Network {
	n := New()
	n.pipe = func() (net.Conn, net.Conn) {
		up, down := newHalf(size), newHalf(size)
		return &conn{in: down, out: up}, &conn{in: up, out: down}
	}
	return n
}

// A half is one direction of a connection.
type half struct {
	most int

	mu           sync.Mutex // guards following
	changed      sync.Cond
	data         []byte // written, and not read yet
	ended        bool   // the writer has closed
	readerClosed bool   // the reader has closed
	reset        bool
	abortive     bool // the writer's Close is to be a reset
	read, write  deadline
}

type deadline struct {
	passed bool
	timer  *time.Timer
}

func newHalf(size int) *half {
	h := &half{most: size}
	h.changed.L = &h.mu
	return h
}

// change calls f with the lock held, and wakes those who wait.
func (h *half) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	h.changed.Broadcast()
}

func (h *half) setDeadline(d *deadline, t time.Time) {
	h.change(func() {
		if d.timer != nil {
			d.timer.Stop()
		}
		d.passed, d.timer = !t.IsZero() && !time.Now().Before(t), nil
		if d.passed || t.IsZero() {
			return
		}
		var timer *time.Timer
		timer = time.AfterFunc(time.Until(t), func() {
			h.change(func() { d.passed = d.passed || d.timer == timer })
		})
		d.timer = timer
	})
}

// A conn is one end of a connection.
type conn struct {
	in, out *half
	once    sync.Once
}

func (c *conn) Read(p []byte) (int, error) {
	h := c.in
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.readerClosed:
			return 0, c.opError("read", net.ErrClosed)
		case h.read.passed:
			return 0, c.opError("read", os.ErrDeadlineExceeded)
		case h.reset:
			return 0, c.opError("read", syscall.ECONNRESET)
		case len(h.data) > 0 || len(p) == 0:
			n := copy(p, h.data)
			h.data = h.data[n:]
			h.changed.Broadcast()
			return n, nil
		case h.ended:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (c *conn) Write(p []byte) (n int, err error) {
	h := c.out
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.ended:
			return n, c.opError("write", net.ErrClosed)
		case h.write.passed:
			return n, c.opError("write", os.ErrDeadlineExceeded)
		case h.reset:
			return n, c.opError("write", syscall.ECONNRESET)
		case h.readerClosed:
			return n, c.opError("write", syscall.EPIPE)
		}
		fits := min(h.most-len(h.data), len(p)-n)
		h.data = append(h.data, p[n:n+fits]...)
		n += fits
		h.changed.Broadcast()
		if n == len(p) {
			return n, nil
		}
		h.changed.Wait()
	}
}

func (c *conn) CloseWrite() error {
	c.out.change(func() { c.out.ended = true })
	return nil
}

// SetLinger implements that of [net.TCPConn] for zero seconds.
func (c *conn) SetLinger(sec int) error {
	c.out.change(func() { c.out.abortive = sec == 0 })
	return nil
}

func (c *conn) Close() error {
	err := c.opError("close", net.ErrClosed)
	c.once.Do(func() {
		err = nil
		reset := false
		c.out.change(func() {
			reset = c.out.abortive
			c.out.ended, c.out.reset = true, c.out.reset || reset
		})
		c.in.change(func() { c.in.readerClosed, c.in.reset = true, c.in.reset || reset })
		c.in.setDeadline(&c.in.read, time.Time{})
		c.out.setDeadline(&c.out.write, time.Time{})
	})
	return err
}

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.read, t)
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.write, t)
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return addr }
func (c *conn) RemoteAddr() net.Addr { return addr }

func (c *conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: addr.Net, Addr: addr, Err: err}
}
