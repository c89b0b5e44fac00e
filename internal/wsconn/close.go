package wsconn

import "time"

// A halfCloser is a Conn whose inner connection can be half-closed.
type halfCloser struct{ *Conn }

// CloseWrite half-closes inner, and no farewell is written any more. If the write of one has begun,
// CloseWrite returns nil, and inner is half-closed when the peer has answered.
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

// CloseRead makes Reads return io.EOF, a blocked one too. It doesn't close inner for reading, since
// the peer's Close frame may still have to come through it.
func (r readCloser) CloseRead() error {
	r.endReads()
	return nil
}

// Close closes the connection. If the write of a farewell has begun and the handshake isn't
// complete, it returns nil, and a goroutine of the Conn's waits for the peer's Close frame as
// Finish does, and closes the connection.
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

// Finish drops the message as DropMessage does, and makes the handler's Reads return io.EOF, a
// blocked one too. If the write of a farewell has begun, or the handler has sent a Close frame,
// Finish then reads until the peer's Close frame, the end of what the peer sends, or Cut, and
// closes the connection. Otherwise only the handler's Close or Cut closes it. Call Finish on a
// goroutine of its own.
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

// endReads makes the handler's Reads return io.EOF, a blocked one too. Only the first call has an
// effect: a later one would end the read of linger.
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

// halfClose half-closes inner if the handler has asked for that, a farewell was written and the
// peer has answered, unless it has done so before. It is called after each of these. A peer that
// has not answered yet would take the end for a lost connection: Firefox then doesn't answer any
// more, and reports wasClean false.
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

// noteInnerClosed records that inner is closed: closeInner and Cut may both have closed it.
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
