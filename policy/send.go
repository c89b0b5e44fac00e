package policy

// A Send is what of a [Farewell] goes into an event stream. The zero Send is SendAll.
type Send uint8

const (
	// SendAll sends the field retry with the client's reconnect slot, and the last event. To a
	// client of the Model Context Protocol's streamable HTTP it sends the field alone where the
	// Farewell says nothing of an event.
	SendAll Send = iota
	// SendRetry sends the field retry alone, for clients that take every event for one of their
	// own, whatever its name.
	SendRetry
	// SendNothing writes nothing into the stream, which only ends, and counts as canceled.
	SendNothing
)

var sends = vocabulary[Send]{"send", []string{"all", "retry", "nothing"}, []string{"SendAll", "SendRetry", "SendNothing"}}

// String returns "all", "retry" or "nothing", and "Send(n)" for any other value.
func (s Send) String() string { return sends.text(s) }

// MarshalText implements [encoding.TextMarshaler] with the words of String. It fails on an unknown
// value.
func (s Send) MarshalText() ([]byte, error) { return sends.marshal(s) }

// UnmarshalText implements [encoding.TextUnmarshaler] for the words of String. On an error s is
// unchanged.
func (s *Send) UnmarshalText(text []byte) error { return sends.unmarshal(text, s) }
