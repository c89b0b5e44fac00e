package wsconn

import "time"

// A halfCloser is a Conn whose inner connection can be half-closed.
type halfCloser struct{ *Conn }

// CloseWrite is inner's, and no farewell is written any more. Once a farewell has begun, inner is
// half-closed when the peer has answered it.
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
	c.sendKeptAtEnd()
	return c.closeWriter.CloseWrite()
}

// A readCloser is a halfCloser whose inner connection can be closed for reading, too.
type readCloser struct{ halfCloser }

// CloseRead has Reads return io.EOF, a blocked one too. Inner is not closed for reading: the peer's
// Close frame may still have to come through it.
func (r readCloser) CloseRead() error {
	r.endReads()
	return nil
}

// Close closes the connection. If a farewell has begun and the handshake isn't complete, it returns
// nil, and a goroutine of the Conn's closes the connection as Finish does.
func (c *Conn) Close() error {
	c.awaitTimer()
	c.mu.Lock() // either writeFarewell sees HandlerClosed, or Close sees farewellBegun
	if c.state.HandlerClosed {
		c.mu.Unlock()
		return c.closedError("close")
	}
	c.state.HandlerClosed = true
	c.ending.Store(true)
	if c.timer != nil && c.timer.Stop() {
		c.refs-- // the timer never fires
	}
	begun := c.farewellBegun && !c.innerClosed
	complete := c.state.FarewellWritten && c.state.PeerSentClose
	c.mu.Unlock()

	if begun && !complete {
		c.endReads()
		go func() {
			c.linger()
			c.release()
		}()
		return nil
	}
	c.sendKeptAtEnd()
	defer c.release()
	return c.closeInner()
}

// Finish drops the message as DropMessage does, and has the handler's Reads return io.EOF, a
// blocked one too. If a farewell has begun, or the handler has sent a Close frame, Finish reads
// until the peer's Close frame, the end of what the peer sends, or Cut, and closes the connection:
// call it on a goroutine of its own. Otherwise only the handler's Close or Cut closes it.
func (c *Conn) Finish() {
	c.mu.Lock()
	c.finished = true
	c.mu.Unlock()
	c.DropMessage() // also writes a farewell that a Write left pending because it failed
	if c.flushing.Load() > 0 {
		// Wait for a Farewell or a DropMessage, which the handler, whose Reads end next, could
		// preempt by Close. A Write of the handler's may be blocked: it calls flushPending itself.
		c.waitAndFlush()
	}
	c.endReads()
	c.mu.Lock()
	closing := c.farewellBegun || c.state.HandlerSentClose
	c.mu.Unlock()
	if closing {
		c.linger()
	}
}

// endReads has the handler's Reads return io.EOF, a blocked one too. Only the first call has an
// effect, so that it doesn't end the read of linger.
func (c *Conn) endReads() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.readsEnded {
		c.readsEnded = true
		c.ending.Store(true)
		_ = c.inner.SetReadDeadline(time.Unix(1, 0)) // fails only once inner is closed
	}
}

// linger reads and discards what comes until the peer has sent its Close frame or its end, and
// closes the connection. To close it with bytes unread would send a TCP reset, which can destroy
// our Close frame before the peer reads it. endReads must have been called.
func (c *Conn) linger() {
	c.lingering.Lock()                       // a second call waits for the first
	c.reading.Lock()                         // waits for the handler's last Read
	_ = c.inner.SetReadDeadline(time.Time{}) // set by endReads; an error shows in the read
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
	c.waitAndFlush() // the farewell may still be being written
	_ = c.closeInner()
}

// halfClose half-closes inner, once, where the handler has asked for that after a farewell, and
// the peer has answered. Whatever may have made that true calls it. One that has not answered yet
// would take the end for a lost connection: Firefox doesn't answer any more, and reports wasClean
// false.
func (c *Conn) halfClose() {
	c.mu.Lock()
	first := c.writesEnded && c.state.FarewellWritten && c.state.PeerSentClose && !c.halfClosed
	c.halfClosed = c.halfClosed || first
	c.mu.Unlock()
	if first {
		_ = c.closeWriter.CloseWrite() // the peer may be gone already
	}
}

// Cut closes the connection at once, if it isn't closed. Blocked reads and writes return.
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

// release drops one of refs, and calls OnClose with the last.
func (c *Conn) release() {
	c.mu.Lock()
	c.refs--
	last := c.refs == 0
	c.mu.Unlock()
	if last && c.options.OnClose != nil {
		c.options.OnClose()
	}
}
