package wsconn

// State is what is known of a connection at one moment. Nothing of it but Following is ever taken
// back.
type State struct {
	// Following: its frames were understood so far. They are not those of a refused upgrade, of
	// another protocol, or masked ones that go out. Without it the connection is never written into.
	Following bool

	Said     bool // our Close frame was written whole
	Sent     bool // the handler itself had sent a Close before ours
	Answered bool // the peer's Close frame has arrived, before ours or after it
	Closed   bool // the handler has called Close
	CutOff   bool // Cut closed the connection
}

// State returns what is known now. It never waits for I/O.
func (c *Conn) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// update changes the state, unless the end is reached: what OnClose saw stands.
func (c *Conn) update(change func(*State)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.done() {
		change(&c.state)
	}
}

// done reports whether the connection is closed, by the handler too, and nothing of ours goes on.
// The caller holds mu.
func (c *Conn) done() bool { return c.innerClosed && c.refs == 0 }

// release gives up one of refs.
func (c *Conn) release() {
	c.mu.Lock()
	c.refs--
	done := c.done()
	c.mu.Unlock()
	if done {
		c.callOnClose()
	}
}

// noteInnerClosed notes that inner is closed.
func (c *Conn) noteInnerClosed() {
	c.mu.Lock()
	first := !c.innerClosed
	c.innerClosed = true
	done := c.done()
	c.mu.Unlock()
	if first && done {
		c.callOnClose()
	}
}

func (c *Conn) callOnClose() {
	if c.onClose != nil {
		c.onClose()
	}
}
