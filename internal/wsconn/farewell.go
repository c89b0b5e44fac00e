package wsconn

import (
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/policy"
)

// Farewell asks for f to be written, expanded for a client whose reconnect slot is retry. A later
// call replaces it, as long as it isn't written.
//
// If no Write is under way and the outgoing bytes stand at a boundary, Farewell writes it, and may
// block on a peer that doesn't read, until Cut: call it on a goroutine of its own. Else it returns
// at once, and the Write that reaches the boundary writes it: the end of a message if f has one,
// else of any frame, or of the response head. It is not written at all if the handler's own Close
// frame, its closing or half-closing comes first, or if the outgoing bytes can't be followed.
func (c *Conn) Farewell(f policy.Farewell, retry time.Duration) {
	f = f.Expand(retry)
	c.mu.Lock()
	if c.dropMessage {
		f.Message = ""
	}
	c.farewell = &f
	c.ending.Store(true)
	c.mu.Unlock()
	c.pending.Store(true)
	c.flushPending()
}

// DropMessage gives up waiting for a message boundary: the message is left out of the farewell, a
// later one too, and the Close frame goes alone at the next frame boundary. It blocks as Farewell
// does.
func (c *Conn) DropMessage() {
	c.mu.Lock()
	c.dropMessage = true
	if c.farewell != nil && c.farewell.Message != "" {
		short := *c.farewell
		short.Message = ""
		c.farewell = &short
	}
	c.mu.Unlock()
	c.pending.Store(true)
	c.flushPending()
}

// flushPending writes the farewell if it is pending, and can be written where the outgoing bytes
// stand. If somebody else holds writing it is left to them: they call flushPending once they have
// unlocked it, so that nothing is lost between their last look and their unlocking.
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

// waitAndFlush is flushPending for one who waits for those that hold writing.
func (c *Conn) waitAndFlush() {
	c.writing.Lock()
	c.tryFarewell()
	c.writing.Unlock()
	c.flushPending()
}

// tryFarewell writes the farewell if one is due and can be written where the outgoing bytes stand.
// The caller holds writing.
func (c *Conn) tryFarewell() {
	c.pending.Store(false)
	if f := c.dueFarewell(); f != nil && c.out.AtBoundary(f.Message != "") {
		c.writeFarewell(f)
	}
}

// dueFarewell returns the farewell that is still to be written, nil if there is none.
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

// writeFarewell writes f and reports true, unless it was taken back or the connection has ended
// meanwhile. The caller holds writing, and the outgoing bytes stand at a boundary.
//
// The handler's write deadline, perhaps of a message long ago, must not fail it, and
// gorilla/websocket clears the deadline on each write; so the farewell has none, Cut bounds it, and
// the handler's are ignored from here on.
func (c *Conn) writeFarewell(f *policy.Farewell) (begun bool) {
	allowed := c.options.BeforeFarewell == nil || c.options.BeforeFarewell()
	c.mu.Lock()
	if !allowed && c.farewell == f { // else another was asked for meanwhile
		c.farewell, c.dropMessage = nil, false
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
		_ = c.closeInner() // a torn frame may be out: nothing sensible can follow
		return true
	}
	c.touch()
	c.update(func(s *State) { s.FarewellWritten = true })
	c.halfClose()
	if c.State().PeerSentClose {
		c.takeReading() // the handshake is complete: a Read that is pending would wait for nothing
	}
	return true
}
