package wsconn

import "time"

// longAgo is a deadline that has passed on any clock.
var longAgo = time.Unix(1, 0)

// SetDeadline sets the read and the write deadline, each as its own method does.
func (c *Conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.readingTaken && c.farewellBegun:
		return nil
	case c.readingTaken:
		return c.inner.SetWriteDeadline(t)
	case c.farewellBegun:
		return c.inner.SetReadDeadline(t)
	}
	return c.inner.SetDeadline(t)
}

// SetReadDeadline sets the inner connection's, until the reading is taken from the handler; then it
// is without effect.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.readingTaken {
		return nil
	}
	return c.inner.SetReadDeadline(t)
}

// SetWriteDeadline sets the inner connection's, until a farewell is being written; then it is
// without effect.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.farewellBegun {
		return nil
	}
	return c.inner.SetWriteDeadline(t)
}

// takeReading takes the reading from the handler: a pending Read comes back, and later ones don't
// begin. Only the first call has an effect, so that it can't wake whoever reads in the handler's
// place.
func (c *Conn) takeReading() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.readingTaken {
		c.readingTaken = true
		_ = c.inner.SetReadDeadline(longAgo) // fails only once it is closed, where no Read is pending
	}
}
