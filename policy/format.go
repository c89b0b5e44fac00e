package policy

// A Format says where a farewell may be written into a response's body, and how. It doesn't say
// whether the body ends by itself: that is the response's [Kind]. The zero Format is AutoFormat.
type Format uint8

const (
	// AutoFormat is the format that the response's Content-Type names, and none if it names none.
	AutoFormat Format = iota
	// EventsFormat is an event stream (WHATWG HTML 9.2.5): the farewell is its last event.
	EventsFormat
	// LinesFormat is lines that are each complete, such as one JSON value a line: the farewell is
	// the last line, Farewell.Message.
	LinesFormat
	// PartsFormat is the parts of a multipart body, whose Content-Type has their boundary (RFC
	// 2046, section 5.1.1): the farewell is the last part, Farewell.Message, and the closing
	// delimiter.
	PartsFormat
	// NoFormat is none: the body is left alone, even if its Content-Type names a format. No
	// farewell is written into it, and its handler writes on until its context is canceled. To end
	// an event stream in order but without a farewell, use [SendNothing] instead.
	NoFormat
)

var formats = vocabulary[Format]{
	"format", []string{"auto", "events", "lines", "parts", "none"},
	[]string{"AutoFormat", "EventsFormat", "LinesFormat", "PartsFormat", "NoFormat"},
}

// String returns "auto", "events", "lines", "parts" or "none", and "Format(n)" for any other value.
func (f Format) String() string { return formats.text(f) }

// MarshalText implements [encoding.TextMarshaler] with the words of String. It fails on an unknown
// value.
func (f Format) MarshalText() ([]byte, error) { return formats.marshal(f) }

// UnmarshalText implements [encoding.TextUnmarshaler] for the words of String. On an error f is
// unchanged.
func (f *Format) UnmarshalText(text []byte) error { return formats.unmarshal(text, f) }
