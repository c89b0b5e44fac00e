package stream

import "fmt"

// An Outcome is how a response ended. Each response has exactly one.
type Outcome uint8

const (
	Completed  Outcome = iota // by itself
	Told                      // its farewell was written and it ended in order; a WebSocket's peer answered with its Close
	Unanswered                // its farewell was written, but the WebSocket's peer didn't answer
	Cancelled                 // by its context, without a farewell
	Cut                       // its connection was closed, or its body broken off, by force
	Refused                   // it came too late and was never begun
	outcomes
)

var outcomeNames = [outcomes]string{"completed", "told", "unanswered", "cancelled", "cut", "refused"}

// String gives the outcome's word, such as "told", and "Outcome(n)" for a value that is none of them.
func (o Outcome) String() string {
	if o < outcomes {
		return outcomeNames[o]
	}
	return fmt.Sprintf("Outcome(%d)", uint8(o))
}

// Outcomes counts responses by how they ended. The zero Outcomes counts none.
type Outcomes struct {
	Completed, Told, Unanswered, Cancelled, Cut, Refused uint64
}

// All is the number of responses.
func (o Outcomes) All() uint64 {
	return o.Completed + o.Told + o.Unanswered + o.Cancelled + o.Cut + o.Refused
}

// Add counts one more.
func (o *Outcomes) Add(one Outcome) {
	var c counts
	c[one]++
	c.add(counts{o.Completed, o.Told, o.Unanswered, o.Cancelled, o.Cut, o.Refused})
	*o = c.outcomes()
}

// counts are Outcomes by [Outcome].
type counts [outcomes]uint64

func (c *counts) add(more counts) {
	for o, n := range more {
		c[o] += n
	}
}

func (c counts) outcomes() Outcomes {
	return Outcomes{c[Completed], c[Told], c[Unanswered], c[Cancelled], c[Cut], c[Refused]}
}
