package stream

import (
	"fmt"
	"slices"
	"strings"
)

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

// String gives the outcome's word, such as "told", and "unknown" for a value that is none of them.
func (o Outcome) String() string {
	if o < outcomes {
		return outcomeNames[o]
	}
	return "unknown"
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

// A Protocol is what a response speaks, which decides how it can be told.
type Protocol uint8

const (
	HTTP      Protocol = iota // a plain body
	SSE                       // an event stream that a final event can be written into
	WebSocket                 // a connection hijacked for Upgrade: websocket, or over HTTP/2 the body of a CONNECT's response
	Hijacked                  // any other hijacked connection: never written into
)

var protocolNames = []string{"http", "sse", "websocket", "hijacked"}

// String gives the protocol's word, such as "sse", and "unknown" for a value that is none of them.
func (p Protocol) String() string {
	if int(p) < len(protocolNames) {
		return protocolNames[p]
	}
	return "unknown"
}

// MarshalText implements [encoding.TextMarshaler] with the words of String. It fails on an unknown value.
func (p Protocol) MarshalText() ([]byte, error) {
	if int(p) < len(protocolNames) {
		return []byte(protocolNames[p]), nil
	}
	return nil, fmt.Errorf("stream: protocol %d is unknown; use HTTP, SSE, WebSocket or Hijacked", uint8(p))
}

// UnmarshalText implements [encoding.TextUnmarshaler] for the words of String. On an error p is unchanged.
func (p *Protocol) UnmarshalText(text []byte) error {
	i := slices.Index(protocolNames, string(text))
	if i < 0 {
		return fmt.Errorf("stream: protocol %.40q is unknown; use one of %s", text, strings.Join(protocolNames, ", "))
	}
	*p = Protocol(i)
	return nil
}
