package stream

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

// String gives the outcome's word, such as "told".
func (o Outcome) String() string {
	if o < outcomes {
		return outcomeNames[o]
	}
	return "unknown"
}

// A Protocol is what a response speaks, which decides how it can be told.
type Protocol uint8

const (
	HTTP      Protocol = iota // a plain body
	SSE                       // an event stream that a final event can be written into
	WebSocket                 // a connection hijacked for Upgrade: websocket
	Hijacked                  // any other hijacked connection: never written into
)

// String gives the protocol's word, such as "sse".
func (p Protocol) String() string {
	switch p {
	case HTTP:
		return "http"
	case SSE:
		return "sse"
	case WebSocket:
		return "websocket"
	case Hijacked:
		return "hijacked"
	}
	return "unknown"
}
