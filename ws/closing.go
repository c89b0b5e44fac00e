package ws

import (
	"crypto/tls"
	"time"
)

type closeWriter interface{ CloseWrite() error }

// halfConn is a Conn whose inner connection can be half-closed. It is one pointer, so that it costs nothing as a net.Conn.
type halfConn struct{ *Conn }

// CloseWrite ends the handler's side. Before a farewell it is the inner connection's, and no farewell is said any more;
// after one it is part of the closing that we see to.
func (h halfConn) CloseWrite() error {
	c := h.Conn
	c.heed()
	c.mu.Lock()
	ours := c.has(saying)
	if ours {
		c.flags.Or(finishing)
	} else {
		c.flags.Or(ended)
	}
	c.mu.Unlock()
	if ours {
		c.halfClose()
		return nil
	}
	c.flushLast()
	return c.inner.(closeWriter).CloseWrite()
}

// Close is the handler's. Without a farewell it closes the connection. After one it returns nil at once: if the peer's
// Close has arrived, the connection is closed; else it stays open, on a goroutine of ours that reads on, until the peer's
// Close, its end, or Cut. A second Close returns an error that wraps net.ErrClosed.
func (c *Conn) Close() error {
	c.heed()
	c.mu.Lock() // with say's: either it sees closed, or we see saying
	first := c.claim(closed)
	f := c.facts()
	if first {
		c.disarm()
	}
	c.mu.Unlock()
	if !first {
		return c.closedError("close")
	}
	if f&saying != 0 && f&shut == 0 {
		if f&(said|answered) != said|answered {
			c.takeReads()
			go func() {
				c.linger()
				c.leave()
			}()
			return nil
		}
		c.flags.Or(finishing)
		c.halfClose()
	}
	c.flushLast()
	err := c.shut()
	c.leave()
	return err
}

// leave is called by each that stays, when it doesn't any more.
func (c *Conn) leave() {
	if c.staying.Add(-1) == 0 {
		c.end(gone)
	}
}

// Finish ends the handler's time: a farewell that waits for a message boundary is said as Insist would, and the handler's
// Reads, a pending one too, return io.EOF. If the farewell was said (or the handler's own Close), Finish reads in its
// place, throwing away what comes, until the peer's Close or its end, closes the connection, and returns then, or at Cut:
// call it on a goroutine of its own. If nothing was said it returns at once; then only the handler's Close or Cut ends the
// connection.
func (c *Conn) Finish() {
	c.Insist() // also says what a Write that failed has left unsaid
	c.await()
	c.takeReads()
	if c.has(saying | sent) {
		c.linger()
	}
}

// await lets a Farewell or an Insist that is under way say what it has to: else the handler, whose Reads end next, could
// close the connection first. It doesn't wait for the handler's own Write, which may be stuck, and settles by itself.
func (c *Conn) await() {
	if c.settling.Load() > 0 {
		c.writing.take()
		c.writing.release()
		c.settle()
	}
}

// Cut closes the connection now and frees whoever is blocked on it. It never blocks: of a *tls.Conn it closes the
// connection below, since TLS would first try, for up to 5 seconds, to write its own goodbye. Once the connection is closed
// it does nothing.
func (c *Conn) Cut() {
	for {
		old := c.facts()
		if old&(shut|cut) != 0 {
			return
		}
		if c.flags.CompareAndSwap(old, old|cut|shutting) {
			break
		}
	}
	bottom := c.inner
	if t, ok := bottom.(*tls.Conn); ok {
		bottom = t.NetConn()
	}
	_ = bottom.Close() // it may be closed already
	c.end(shut)
}

// linger reads in the handler's place until the peer has answered or is gone, and closes the connection. To close it with
// bytes of the peer unread would be a TCP reset, which can destroy our Close on its way. The reading must have been
// taken from the handler. Called twice, the second waits for the first to end.
func (c *Conn) linger() {
	c.flags.Or(finishing)
	c.halfClose()
	c.reading.take()
	defer c.reading.release()
	if c.has(shut) {
		return
	}
	_ = c.inner.SetReadDeadline(time.Time{}) // was longAgo; an error shows in the read
	buf := make([]byte, 512)
	for !c.has(answered) {
		n, err := c.inner.Read(buf)
		c.arrived(buf[:n])
		if err != nil {
			break
		}
	}
	c.writing.take() // our farewell may still be going out
	c.writing.release()
	c.shut()
}

// halfClose ends our side if nothing more will be written to it; called by whoever may have made that so.
func (c *Conn) halfClose() {
	f := c.facts()
	if f&(said|sent) == 0 || f&finishing == 0 || !c.claim(halved) {
		return
	}
	if w, ok := c.inner.(closeWriter); ok {
		_ = w.CloseWrite() // the peer may be gone already
	}
}

// shut closes the inner connection, once.
func (c *Conn) shut() error {
	if !c.claim(shutting) {
		return nil
	}
	err := c.inner.Close()
	c.end(shut)
	return err
}
