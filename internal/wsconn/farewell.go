package wsconn

import (
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/policy"
)

// Farewell asks for f to be written, expanded for a client whose reconnect slot is retry. A later
// call replaces f, if its write hasn't begun, and takes an earlier DropMessage back.
//
// The boundary for f is the end of a message if f has a message, otherwise of any frame, or the end
// of the response head. If what was sent ends at one and no Write is under way, Farewell writes f
// itself, and may block until Cut: call it on a goroutine of its own. Otherwise it returns at once,
// and the Write that reaches a boundary writes f. f isn't written if the handler sends a Close
// frame, closes or half-closes the connection first, or if the State is Lost.
func (c *Conn) Farewell(f policy.Farewell, retry time.Duration) {
	f = f.Expand(retry)
	c.mu.Lock()
	if c.finished { // the message would come too late
		f.Message = ""
	}
	c.farewell = &f
	c.ending.Store(true)
	c.mu.Unlock()
	c.pending.Store(true)
	c.flushPending()
}

// DropMessage removes the message from the farewell, so that a Close frame alone is written at the
// end of the next frame. It may block as Farewell does.
func (c *Conn) DropMessage() {
	c.mu.Lock()
	if c.farewell != nil && c.farewell.Message != "" {
		f := *c.farewell
		f.Message = ""
		c.farewell = &f
	}
	c.mu.Unlock()
	c.pending.Store(true)
	c.flushPending()
}

// flushPending calls tryFarewell if pending is set. If somebody else holds writing, it leaves that
// to them: they call flushPending after unlocking, since pending may be set until then.
func (c *Conn) flushPending() {
	if !c.pending.Load() {
		return
	}
	c.flushing.Add(1)
	defer c.flushing.Add(-1)
	for c.pending.Load() && c.writing.TryLock() {
		c.tryFarewell()
		c.writing.Unlock()
	}
}

// waitAndFlush waits for writing, and calls tryFarewell.
func (c *Conn) waitAndFlush() {
	c.writing.Lock()
	c.tryFarewell()
	c.writing.Unlock()
	c.flushPending()
}

// tryFarewell writes the farewell if one is due and what was sent ends at a boundary for it. The
// caller holds writing.
func (c *Conn) tryFarewell() {
	c.pending.Store(false)
	if f := c.dueFarewell(); f != nil && c.out.AtBoundary(f.Message != "") {
		c.writeFarewell(f)
	}
}

// dueFarewell returns the farewell that is still to be written, or nil.
func (c *Conn) dueFarewell() *policy.Farewell {
	if !c.ending.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.farewell == nil || c.farewellBegun || c.writesEnded {
		return nil
	}
	return c.farewell
}

// writeFarewell writes f and reports true, unless BeforeFarewell forbids it or the connection has
// ended meanwhile. The caller holds writing, and what was sent ends at a boundary.
//
// The handler's write deadline may have passed long ago, and gorilla/websocket clears it on each
// write. So from here on it is cleared and the handler's are ignored: only Cut ends the write.
func (c *Conn) writeFarewell(f *policy.Farewell) (begun bool) {
	allowed := c.options.BeforeFarewell == nil || c.options.BeforeFarewell()
	c.mu.Lock()
	if !allowed && c.farewell == f { // another may have replaced it meanwhile
		c.farewell = nil
	}
	if !allowed || c.farewellBegun || c.writesEnded || c.state.HandlerClosed || c.innerClosing {
		c.mu.Unlock()
		return false
	}
	c.farewellBegun = true
	_ = c.inner.SetWriteDeadline(time.Time{}) // an error shows in the write
	c.mu.Unlock()

	b := format.AppendClose(nil, *f)
	if n, err := c.inner.Write(b); err != nil || n < len(b) {
		_ = c.closeInner() // part of a frame may have been sent: nothing can follow it
		return true
	}
	c.touch()
	c.update(func(s *State) { s.FarewellWritten = true })
	c.halfClose()
	if c.State().PeerSentClose {
		c.endReads() // the handshake is complete: nothing would end a Read that is blocked
	}
	return true
}
