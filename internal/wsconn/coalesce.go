package wsconn

import (
	"bytes"
	"net"
	"time"
)

// Coalescing: two Writes of one frame go out as one packet.
//
// gorilla/websocket, for one, writes a message that is larger than its buffer in two, and leaves it
// to net.Buffers to make one packet of them, which does so for net's own connections only. Over a
// Conn there would be two packets, and a peer that wakes up twice: a quarter more time for a
// message of 4 KiB. So a Conn over such a connection keeps the beginning of a frame back until its
// rest is written, and sends both at once.
//
// A Write is kept back if it is the beginning of a frame, no less and no more, and small (see the
// constants below). To the handler it counts as sent, and so it does for c.out: until the rest has
// come there is no boundary, and no farewell can come in between. If sending it fails, it stays,
// and the next Write sends it first and returns the error if there still is one.
//
// Nobody but the handler knows whether the rest will come. So the beginning goes out alone in the
// end: after coalesceDelay, by a timer, or when the handler closes or half-closes the connection.
// The timer is set when it doesn't run already. It is not stopped when the rest comes, since to set
// it for each frame would cost more than a packet: it fires, finds nothing to send, and gives the
// memory back, so that an idle connection has neither buffer nor running timer.
//
// The timer's goroutine (timerFired) meets the end of the connection in two places:
//
//   - Close sets Closed and stops the timer in one, under mu. A timer that could be stopped has
//     given back its part of refs, and never fires; one that couldn't has a goroutine which holds
//     its part until it returns, so that OnClose comes after it. From then on startTimer starts
//     none.
//   - A farewell that is asked for while the timer's goroutine holds writing is left to it (see
//     flushPending), and that may be slow to get on. Farewell has returned then, and the handler
//     may be told to end: if it called Close now, the farewell would never be written. So Close and
//     CloseWrite first look whether such a goroutine is about, and if so, wait for writing and
//     write the farewell themselves (awaitTimer). They do so for that goroutine only: a Write of
//     the handler may be stuck, and its Close must free it.

const (
	// maxStart is the longest beginning that waits: gorilla's buffer, where it takes net/http's.
	// After a longer one a second packet costs little.
	maxStart = 4 << 10
	// maxRest is the longest rest that a beginning waits for. A peer that gets a longer one does
	// better to begin early.
	maxRest = 32 << 10
	// coalesceDelay is how long a beginning waits. Libraries write the rest at once; a proxy does
	// when it has it, and until then its client can make little of a torn frame. Shorter, the timer
	// would cost more than one packet saves.
	coalesceDelay = 10 * time.Millisecond
)

// coalesces reports whether net.Buffers would make one packet on inner.
func coalesces(inner net.Conn) bool {
	_, tcp := inner.(*net.TCPConn)
	_, unix := inner.(*net.UnixConn)
	return tcp || unix
}

// keepStart keeps p for the next Write if p is the beginning of a frame, and reports whether it
// does. The caller holds writing.
func (c *Conn) keepStart(p []byte) bool {
	if !c.coalesces || len(p) > maxStart {
		return false
	}
	if left, begins := c.out.BeginsFrame(p); !begins || left > maxRest {
		return false
	}
	_, _ = c.out.Write(p)
	c.start.Write(p)
	c.startTimer()
	return true
}

// send writes the beginning that waits and p, and returns what became of p. The caller holds
// writing.
func (c *Conn) send(p []byte) (int, error) {
	size := c.start.Len()
	if size == 0 {
		return c.inner.Write(p)
	}
	c.start.Write(p)
	n, err := c.inner.Write(c.start.Bytes())
	c.start.Truncate(size) // what is left of p is its caller's
	c.start.Next(n)
	return max(n-size, 0), err
}

// sendStart sends the beginning that waits alone; an error is the next Write's. The caller holds
// writing.
func (c *Conn) sendStart() {
	if c.start.Len() > 0 {
		if _, err := c.send(nil); err == nil {
			c.touch()
		}
	}
}

// startTimer has the beginning sent in time, whatever the handler does.
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

func (c *Conn) timerFired() {
	defer c.release()
	c.mu.Lock()
	c.timerRunning = false // a beginning that is kept from here on starts it anew
	c.timersFiring++
	c.mu.Unlock()

	c.writing.Lock()
	c.sendStart()
	if c.start.Len() == 0 {
		c.start = bytes.Buffer{}
	}
	c.writing.Unlock()
	c.flushPending()

	c.mu.Lock()
	c.timersFiring--
	c.mu.Unlock()
}

// awaitTimer has a farewell written that was left to the timer's goroutine. A peer that doesn't
// read delays it by coalesceDelay at most.
func (c *Conn) awaitTimer() {
	c.mu.Lock()
	wait := c.timersFiring > 0 && c.farewell != nil && !c.farewellBegun && !c.state.HandlerClosed
	if wait {
		_ = c.inner.SetWriteDeadline(time.Now().Add(coalesceDelay)) // its last writes
	}
	c.mu.Unlock()
	if wait {
		c.waitAndFlush()
	}
}

// sendStartAtEnd sends the beginning that waits, for coalesceDelay at most. If somebody holds
// writing, it is under way.
func (c *Conn) sendStartAtEnd() {
	if !c.writing.TryLock() {
		return
	}
	defer c.writing.Unlock()
	if c.start.Len() > 0 {
		_ = c.inner.SetWriteDeadline(time.Now().Add(coalesceDelay)) // its last writes
		c.sendStart()
	}
}
