package policy

// An Ending is how a stream ends after its farewell. Event streams and other bodies follow it; a
// WebSocket ends with its close frames whatever its rule says, and a call of gRPC or Connect with
// its status. The zero Ending is AutoEnding.
type Ending uint8

const (
	// AutoEnding is whichever brings the client back. It is clean for an EventSource and for a
	// client of the Model Context Protocol's streamable HTTP, which come back from any end. It is
	// broken for all others: to many of them a clean end means that nothing more is to come.
	//
	// It is clean for everyone whose farewell has the Code 1000, as that of [StayAway], and where
	// no farewell is written, for requests that accept no event stream.
	AutoEnding Ending = iota
	// CleanEnding ends the body as if the handler had returned by itself.
	CleanEnding
	// BrokenEnding breaks the body off once the client has had time to read its farewell, at least
	// 200 ms later: over HTTP/1.1 its connection is closed, over HTTP/2 its stream is reset.
	BrokenEnding
)

var endings = vocabulary[Ending]{
	"ending", []string{"auto", "clean", "broken"}, []string{"AutoEnding", "CleanEnding", "BrokenEnding"},
}

// String returns "auto", "clean" or "broken", and "Ending(n)" for any other value.
func (e Ending) String() string { return endings.text(e) }

// MarshalText implements [encoding.TextMarshaler] with the words of String. It fails on an unknown
// value.
func (e Ending) MarshalText() ([]byte, error) { return endings.marshal(e) }

// UnmarshalText implements [encoding.TextUnmarshaler] for the words of String. On an error e is
// unchanged.
func (e *Ending) UnmarshalText(text []byte) error { return endings.unmarshal(text, e) }
