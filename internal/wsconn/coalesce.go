package wsconn

import (
	"bytes"
	"net"
	"time"
)

// Two Writes that make one frame are sent as one packet: gorilla/websocket writes long messages so.
//
// A Write is kept if it begins a frame, ends within it, and is small (see the constants below). For
// the handler and for c.out it counts as sent, so that there is no boundary until the next Write
// sends both. If sending fails, what was not sent stays kept: the next Write sends it first, and
// returns the error if that fails again. The rest may never come, so what is kept is sent alone
// after coalesceDelay, by a timer, or when the handler closes or half-closes the connection.
//
// docs/architecture.md says what that saves, and how the timer ends with the connection.

const (
	// maxKept is the longest Write that is kept: gorilla's buffer, where it takes net/http's. After
	// a longer one a second packet costs little.
	maxKept = 4 << 10
	// maxRest is the longest rest of a payload that is waited for. The peer of a longer one does
	// better to begin early: with 1 MiB an echo took 12 % longer.
	maxRest = 256 << 10
	// maxCopied is the longest Write that is copied behind what is kept. Beside a longer one, the
	// system call for two buffers costs less.
	maxCopied = 32 << 10
	// coalesceDelay is how long a Write is kept. Libraries write the rest at once. A shorter timer
	// would cost more than one packet saves.
	coalesceDelay = 10 * time.Millisecond
)

// keep keeps p for the next Write if p is the beginning of a frame as described above, and reports
// whether it did. The caller holds writing.
func (c *Conn) keep(p []byte) bool {
	if !c.coalesces || len(p) > maxKept {
		return false
	}
	if left, begins := c.out.BeginsFrame(p); !begins || left > maxRest {
		return false
	}
	_, _ = c.out.Write(p)
	c.kept.Write(p)
	c.startTimer()
	return true
}

// send writes what is kept and p, and returns what inner.Write would for p. The caller holds
// writing.
func (c *Conn) send(p []byte) (int, error) {
	size := c.kept.Len()
	switch {
	case size == 0:
		return c.inner.Write(p)
	case len(p) > maxCopied:
		both := net.Buffers{c.kept.Bytes(), p}
		n, err := both.WriteTo(c.inner)
		c.kept.Next(int(n))
		if op, ok := err.(*net.OpError); ok {
			op.Op = "write" // as after a Write, and not "writev"
		}
		return max(int(n)-size, 0), err
	}
	c.kept.Write(p)
	n, err := c.inner.Write(c.kept.Bytes())
	c.kept.Truncate(size) // the caller keeps the rest of p
	c.kept.Next(n)
	return max(n-size, 0), err
}

// sendKept sends what is kept. The next Write returns the error. The caller holds writing.
func (c *Conn) sendKept() {
	if c.kept.Len() > 0 {
		if _, err := c.send(nil); err == nil {
			c.touch()
		}
	}
}

// startTimer starts the timer, unless it runs: to set it anew for each frame would cost more than a
// packet. When the rest of a frame comes, the timer isn't stopped, and finds nothing to send.
func (c *Conn) startTimer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timerRunning || c.state.HandlerClosed {
		return
	}
	c.timerRunning = true
	c.refs++
	if c.timer == nil {
		c.timer = time.AfterFunc(coalesceDelay, c.timerFired)
	} else {
		c.timer.Reset(coalesceDelay)
	}
}

// timerFired sends what is kept, on the timer's goroutine.
func (c *Conn) timerFired() {
	defer c.release()
	c.mu.Lock()
	c.timerRunning = false // the next keep starts it again
	c.timersFiring++
	c.mu.Unlock()

	c.writing.Lock()
	c.sendKept()
	if c.kept.Len() == 0 {
		c.kept = bytes.Buffer{} // frees its memory
	}
	c.writing.Unlock()
	c.flushPending()

	c.mu.Lock()
	c.timersFiring--
	c.mu.Unlock()
}

// awaitTimer writes a farewell that was left to the timer's goroutine, if there is one: a close
// by the handler would preempt it. A peer that doesn't read delays it by coalesceDelay at most.
func (c *Conn) awaitTimer() {
	c.mu.Lock()
	wait := c.timersFiring > 0 && c.farewell != nil && !c.farewellBegun && !c.state.HandlerClosed
	if wait {
		_ = c.inner.SetWriteDeadline(time.Now().Add(coalesceDelay)) // the handler writes no more
	}
	c.mu.Unlock()
	if wait {
		c.waitAndFlush()
	}
}

// sendKeptAtEnd sends what is kept before the handler closes or half-closes inner, and gives up
// after coalesceDelay. If somebody holds writing, they send it.
func (c *Conn) sendKeptAtEnd() {
	if !c.writing.TryLock() {
		return
	}
	defer c.writing.Unlock()
	if c.kept.Len() > 0 {
		_ = c.inner.SetWriteDeadline(time.Now().Add(coalesceDelay)) // the handler writes no more
		c.sendKept()
	}
}
