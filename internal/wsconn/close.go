package wsconn

import "time"

type closeWriter interface{ CloseWrite() error }

// A halfCloser is a Conn whose inner connection can be half-closed. It is one pointer, so that it
// costs nothing as a net.Conn.
type halfCloser struct{ *Conn }

// CloseWrite ends the handler's side. Before a farewell it is the inner connection's, and no
// farewell is written any more; after one it is part of the closing that the Conn sees to.
func (h halfCloser) CloseWrite() error {
	c := h.Conn
	c.awaitTimer()
	c.mu.Lock()
	begun := c.farewellBegun
	if begun {
		c.writingOver = true
	} else {
		c.noFarewell = true
	}
	c.mu.Unlock()
	if begun {
		c.halfClose()
		return nil
	}
	c.sendStartAtEnd()
	return c.inner.(closeWriter).CloseWrite()
}

// Close is the handler's. Without a farewell it closes the connection. After one it returns nil at
// once: if the peer's Close has arrived, the connection is closed; else it stays open, on a
// goroutine of ours that reads on, until the peer's Close, its end, or Cut. A second Close returns
// an error that wraps net.ErrClosed.
func (c *Conn) Close() error {
	c.awaitTimer()
	c.mu.Lock() // as in beginFarewell: either that sees Closed, or Close sees farewellBegun
	if c.state.Closed {
		c.mu.Unlock()
		return c.closedError("close")
	}
	c.state.Closed = true
	c.stopTimer()
	told := c.farewellBegun && !c.innerClosed
	answered := c.state.Said && c.state.Answered
	if told {
		c.writingOver = true
	}
	c.mu.Unlock()

	if told && !answered {
		c.takeReading()
		go func() {
			c.linger()
			c.release()
		}()
		return nil
	}
	c.halfClose()
	c.sendStartAtEnd()
	err := c.closeInner()
	c.release()
	return err
}

// Finish ends the handler's time: a farewell that waits for a message boundary is written as
// DropMessage would, and the handler's Reads, a pending one too, return io.EOF. If the farewell was
// written (or the handler's own Close), Finish reads in its place, throwing away what comes, until
// the peer's Close or its end, closes the connection, and returns then, or at Cut: call it on a
// goroutine of its own. If nothing was written it returns at once; then only the handler's Close or
// Cut ends the connection.
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
	closing := c.farewellBegun || c.state.Sent
	c.mu.Unlock()
	if closing {
		c.linger()
	}
}

// Cut closes the connection now and frees whoever is blocked on it. It never blocks. Once the
// connection is closed it does nothing.
func (c *Conn) Cut() {
	c.mu.Lock()
	if c.innerClosed || c.state.CutOff {
		c.mu.Unlock()
		return
	}
	c.innerClosing, c.state.CutOff = true, true
	c.mu.Unlock()
	if c.abort != nil {
		c.abort()
	} else {
		_ = c.inner.Close() // it may be closed already
	}
	c.noteInnerClosed()
}

// linger reads in the handler's place until the peer has answered or is gone, and closes the
// connection. To close it with bytes of the peer unread would be a TCP reset, which can destroy our
// Close frame on its way. The reading must have been taken from the handler.
func (c *Conn) linger() {
	c.mu.Lock()
	c.writingOver = true
	c.mu.Unlock()
	c.halfClose()
	c.readToEnd()
	c.waitAndFlush() // the farewell may still be going out
	_ = c.closeInner()
}

// readToEnd reads until the peer's Close or its end, and throws away what comes. Called twice, the
// second call waits for the first to end.
func (c *Conn) readToEnd() {
	c.lingering.Lock()
	defer c.lingering.Unlock()
	// The handler's Read comes back, and since the reading is taken, none follows.
	c.reading.Lock()
	_ = c.inner.SetReadDeadline(time.Time{}) // was longAgo; an error shows in the read
	c.reading.Unlock()
	buf := make([]byte, 512)
	for !c.in.Closed() {
		n, err := c.inner.Read(buf)
		c.received(buf[:n])
		if err != nil {
			return
		}
	}
}

// halfClose ends our side if nothing more will be written to it. It is called by each who may have
// made that so.
func (c *Conn) halfClose() {
	c.mu.Lock()
	first := c.writingOver && (c.state.Said || c.state.Sent) && !c.halfClosed
	c.halfClosed = c.halfClosed || first
	c.mu.Unlock()
	if !first {
		return
	}
	if w, ok := c.inner.(closeWriter); ok {
		_ = w.CloseWrite() // the peer may be gone already
	}
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
