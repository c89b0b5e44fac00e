package ws

import (
	"net"
	"sync"
	"time"
)

// gorilla/websocket writes a message that is larger than its buffer in two parts, and leaves it to net.Buffers to make one
// packet of them. It does that only for net's own connections: through a Conn there would be two, and a peer that wakes
// up twice. So the beginning of a frame is held until its rest comes, for a moment, and goes out with it.

const (
	// maxHeld is gorilla's buffer where it takes net/http's. After a longer part a second packet costs little.
	maxHeld = 4 << 10
	// maxRest is the longest rest that a beginning waits for. A peer that gets a longer one does better to begin early.
	maxRest = 32 << 10
	// patience is how long a beginning waits. Libraries write the rest at once; a proxy does when it has it, and until then
	// its client can make little of a torn frame. Shorter, the timer would cost more than one packet saves.
	patience = 10 * time.Millisecond
)

// held is where the beginning of a frame waits. To all else it counts as sent. A Conn has one while its timer runs.
type held struct {
	left []byte // of buf: what is to be sent
	buf  [maxHeld + 512]byte
	both net.Buffers
	pair [2][]byte // of both
}

var heldPool = sync.Pool{New: func() any { return new(held) }}

// gathers tells whether net.Buffers makes one packet for c.
func gathers(c net.Conn) bool {
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// hold keeps p for the next Write if p is the beginning of a frame, no less and no more. The caller has the turn to write.
func (c *Conn) hold(p []byte) bool {
	if !c.gathers || len(p) > maxHeld {
		return false
	}
	next := c.out
	if !next.begin(p) || next.frame.left > maxRest {
		return false
	}
	c.out = next
	if c.held == nil {
		c.held = heldPool.Get().(*held)
	}
	c.held.left = append(c.held.buf[:0], p...)
	if !c.armed.Load() { // to set a timer that runs anew would cost more than the frames that it comes too early for
		c.arm()
	}
	return true
}

// send writes what is held and p, and returns what became of p. What is held and fails stays held: the next Write tries
// again, and returns the error if it is still one. The caller has the turn to write.
func (c *Conn) send(p []byte) (int, error) {
	h := c.held
	if h == nil || len(h.left) == 0 {
		return c.inner.Write(p)
	}
	first := len(h.left)
	n, err := h.writeTo(c.inner, p)
	h.left = h.left[min(n, first):]
	return max(n-first, 0), err
}

// writeTo writes what is left and p at once.
func (h *held) writeTo(c net.Conn, p []byte) (int, error) {
	if len(h.left)+len(p) <= cap(h.left) {
		return c.Write(append(h.left, p...))
	}
	h.pair = [2][]byte{h.left, p}
	h.both = h.pair[:]
	n, err := h.both.WriteTo(c)
	h.pair = [2][]byte{} // p is its caller's again
	return int(n), err
}

// arm has what is held go out in time, whatever the handler does.
func (c *Conn) arm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.has(closed) {
		return
	}
	c.touch()
	c.armed.Store(true)
	c.staying.Add(1)
	if c.timer == nil {
		c.timer = time.AfterFunc(patience, c.expire)
	} else {
		c.timer.Reset(patience)
	}
}

// disarm stops the timer for good. The caller holds mu, and has claimed closed.
func (c *Conn) disarm() {
	if c.timer != nil && c.timer.Stop() {
		c.armed.Store(false)
		c.touch()
		c.staying.Add(-1) // never the last: the handler has not left yet
	}
}

func (c *Conn) expire() {
	defer c.leave()
	c.armed.Store(false) // first: what is held from here on arms anew
	c.touch()
	c.expires.Store(true)
	c.writing.take() // perhaps of a Write that has only just held something
	c.flush()
	if h := c.held; h != nil && len(h.left) == 0 {
		c.held = nil
		heldPool.Put(h)
	}
	c.writing.release()
	if c.posted.Load() {
		c.settle()
	}
	c.expires.Store(false)
}

// heed has a farewell said before the handler's side ends that met the timer at work, and not the handler's Write: it was
// left to the timer's goroutine, which may be slow to get on. A peer that doesn't read makes that wait for no longer than
// patience.
func (c *Conn) heed() {
	if !c.expires.Load() || c.order.Load() == nil || c.has(saying|closed) {
		return
	}
	_ = c.SetWriteDeadline(time.Now().Add(patience)) // nothing of the handler's comes after this
	c.writing.take()
	c.writing.release()
	c.settle()
}

// flush sends what is held alone; an error is the next Write's. The caller has the turn to write.
func (c *Conn) flush() {
	if h := c.held; h != nil && len(h.left) > 0 {
		if _, err := c.send(nil); err == nil {
			c.touch()
		}
	}
}

// flushLast sends what is held before the handler's side ends. A peer that doesn't read makes it wait for no longer than
// patience. If somebody writes now, it is under way.
func (c *Conn) flushLast() {
	if !c.gathers || !c.writing.try() {
		return
	}
	defer c.writing.release()
	if h := c.held; h != nil && len(h.left) > 0 {
		_ = c.inner.SetWriteDeadline(time.Now().Add(patience)) // nothing of the handler's comes after this
		c.flush()
	}
}
