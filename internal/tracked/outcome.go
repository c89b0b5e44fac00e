package tracked

// An Outcome is how a response ended. Each response has exactly one.
type Outcome uint8

const (
	Completed  Outcome = iota // by itself
	Told                      // its farewell was written and it ended in order; a WebSocket's peer answered with its Close
	Unanswered                // its farewell was written, but the WebSocket's peer didn't answer
	Canceled                  // by its context, without a farewell
	Cut                       // its connection was closed, or its body broken off, by force
	Refused                   // it came too late and was never begun
	outcomes
)

// Counts are the numbers of responses by their [Outcome].
type Counts [outcomes]uint64

// Add adds more to c.
func (c *Counts) Add(more Counts) {
	for o, n := range more {
		c[o] += n
	}
}
