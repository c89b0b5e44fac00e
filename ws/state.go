package ws

// State is what is known of a connection at one moment.
type State struct {
	Following bool // its frames were understood so far; false: a refused upgrade, another protocol, masked outgoing frames... It is never written into then
	Said      bool // our Close frame was written whole
	Sent      bool // the handler itself had sent a Close before ours
	Answered  bool // the peer's Close frame has arrived, before ours or after it
	Closed    bool // the handler has called Close
	CutOff    bool // Cut closed the connection
}

// State returns what is known now. It never waits.
func (c *Conn) State() State {
	f := c.facts()
	return State{
		Following: f&lost == 0,
		Said:      f&said != 0,
		Sent:      f&sent != 0,
		Answered:  f&answered != 0,
		Closed:    f&closed != 0,
		CutOff:    f&cut != 0,
	}
}

// A fact is one bit of what has happened to a Conn. None is ever taken back.
type fact = uint32

const (
	lost      fact = 1 << iota // the outgoing bytes can't be followed
	sent                       // the handler has sent a Close
	answered                   // the peer's Close has arrived
	saying                     // our farewell is being written, or was: the handler's writes are swallowed, its write deadlines ignored
	said                       // it was written whole
	ended                      // the handler half-closed: nothing can be said any more
	taken                      // the reading was taken from the handler: its read deadlines are ignored
	finishing                  // nothing but our farewell will be written: half-close after it
	halved                     // half-closed by us
	closed                     // the handler has called Close
	shutting                   // somebody closes inner
	shut                       // inner is closed
	cut                        // by Cut
	gone                       // the handler has called Close, and nothing of ours goes on for it

	over = shut | gone // the end: OnClose
)

func (c *Conn) facts() fact     { return c.flags.Load() }
func (c *Conn) has(f fact) bool { return c.flags.Load()&f != 0 }

// claim sets f and tells whether it was unset.
func (c *Conn) claim(f fact) bool { return c.flags.Or(f)&f == 0 }

// note sets f, unless all is over: the State that OnClose saw stands.
func (c *Conn) note(f fact) {
	for old := c.facts(); old&over != over && !c.flags.CompareAndSwap(old, old|f); old = c.facts() {
	}
}

// end sets shut or gone, and calls OnClose if that made it over.
func (c *Conn) end(f fact) {
	old := c.flags.Or(f)
	if old&over != over && (old|f)&over == over && c.onClose != nil {
		c.onClose()
	}
}
