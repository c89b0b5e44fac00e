package wsconn

import "time"

// A halfCloser is a Conn whose inner connection can be half-closed.
type halfCloser struct{ *Conn }

// CloseWrite ends the handler's side. Before a farewell it is the inner connection's, and no
// farewell is written any more; after one it is part of the closing that the Conn sees to.
func (h halfCloser) CloseWrite() error {
	c := h.Conn
	c.awaitTimer()
	c.mu.Lock()
	begun := c.farewellBegun
	c.writesEnded = true
	c.mu.Unlock()
	if begun {
		c.halfClose()
		return nil
	}
	c.sendStartAtEnd()
	return c.closeWrite()
}

// Close closes the connection, unless a farewell was written and the peer's Close hasn't arrived:
// then it returns nil, and the connection stays open on a goroutine of ours that reads on, until
// the peer's Close, its end, or Cut.
func (c *Conn) Close() error {
	c.awaitTimer()
	c.mu.Lock() // as in writeFarewell: either that sees Closed, or Close sees farewellBegun
	if c.state.HandlerClosed {
		c.mu.Unlock()
		return c.closedError("close")
	}
	c.state.HandlerClosed = true
	c.ending.Store(true)
	if c.timer != nil && c.timer.Stop() {
		c.refs-- // the timer's: it never fires
	}
	told := c.farewellBegun && !c.innerClosed
	answered := c.state.FarewellWritten && c.state.PeerSentClose
	c.mu.Unlock()

	switch {
	case told && answered:
		c.halfClose()
	case told:
		c.takeReading()
		go func() {
			c.linger()
			c.release()
		}()
		return nil
	}
	c.sendStartAtEnd()
	err := c.closeInner()
	c.release()
	return err
}

// Finish ends the handler's time: it drops the message as DropMessage does, and the handler's
// Reads, a pending one too, return io.EOF. If the farewell was written (or the handler's own
// Close), Finish reads in its place until the peer's Close, its end, or Cut, and closes the
// connection: call it on a goroutine of its own. Else only the handler's Close or Cut does.
func (c *Conn) Finish() {
	c.DropMessage() // also writes what a Write that failed has left unwritten
	if c.flushing.Load() > 0 {
		// A Farewell or a DropMessage is under way: else the handler, whose Reads end next, could
		// close the connection first. The handler's own Write, which may be stuck, isn't waited
		// for, and calls flushPending by itself.
		c.waitAndFlush()
	}
	c.takeReading()
	c.mu.Lock()
	closing := c.farewellBegun || c.state.HandlerSentClose
	c.mu.Unlock()
	if closing {
		c.linger()
	}
}

// takeReading takes the reading from the handler: a pending Read comes back, and later ones don't
// begin. Only the first call has an effect, so that it can't wake whoever reads in the handler's
// place.
func (c *Conn) takeReading() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.readingTaken {
		c.readingTaken = true
		c.ending.Store(true)
		_ = c.inner.SetReadDeadline(longAgo) // fails only once it is closed, where no Read is pending
	}
}

// linger reads in the handler's place until the peer has answered or is gone, throws away what
// comes, and closes the connection. To close it with bytes of the peer unread would be a TCP reset,
// which can destroy our Close frame on its way. The reading must have been taken from the handler.
func (c *Conn) linger() {
	c.halfClose()
	c.lingering.Lock()                       // called twice, the second call waits for the first
	c.reading.Lock()                         // the handler's last Read comes back
	_ = c.inner.SetReadDeadline(time.Time{}) // was longAgo; an error shows in the read
	c.reading.Unlock()
	buf := make([]byte, 512)
	for !c.in.Closed {
		n, err := c.inner.Read(buf)
		c.received(buf[:n])
		if err != nil {
			break
		}
	}
	c.lingering.Unlock()
	c.waitAndFlush() // the farewell may still be going out
	_ = c.closeInner()
}

// halfClose ends our side if a Close frame is out and the handler has ended, in whatever way. It is
// called by each who may have made that so.
func (c *Conn) halfClose() {
	c.mu.Lock()
	over := c.writesEnded || c.readingTaken || c.state.HandlerClosed
	first := over && (c.state.FarewellWritten || c.state.HandlerSentClose) && !c.halfClosed
	c.halfClosed = c.halfClosed || first
	c.mu.Unlock()
	if first && c.closeWrite != nil {
		_ = c.closeWrite() // the peer may be gone already
	}
}

// Cut closes the connection now, if it isn't closed, and frees whoever is blocked on it.
func (c *Conn) Cut() {
	c.mu.Lock()
	if c.innerClosed || c.state.WasCut {
		c.mu.Unlock()
		return
	}
	c.innerClosing, c.state.WasCut = true, true
	c.mu.Unlock()
	if c.options.Abort != nil {
		c.options.Abort()
	} else {
		_ = c.inner.Close() // it may be closed already
	}
	c.noteInnerClosed()
}

// closeInner closes the inner connection, unless somebody has begun to.
func (c *Conn) closeInner() error {
	c.mu.Lock()
	first := !c.innerClosing
	c.innerClosing = true
	c.mu.Unlock()
	if !first {
		return nil
	}
	err := c.inner.Close()
	c.noteInnerClosed()
	return err
}

func (c *Conn) noteInnerClosed() {
	c.mu.Lock()
	first := !c.innerClosed
	c.innerClosed = true
	c.mu.Unlock()
	if first {
		c.release()
	}
}

// release gives up one of refs. With the last the end is reached.
func (c *Conn) release() {
	c.mu.Lock()
	c.refs--
	last := c.refs == 0
	c.mu.Unlock()
	if last && c.options.OnClose != nil {
		c.options.OnClose()
	}
}
