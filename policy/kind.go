package policy

// A Kind is how a response ends. The zero Kind is Auto.
type Kind uint8

const (
	// Auto leaves it to what the handler does. Hijacked connections are Infinite, so are
	// text/event-stream and multipart/x-mixed-replace that answer a GET, and subscriptions of the
	// Model Context Protocol, which are a POST. All else is Finite.
	Auto Kind = iota
	// Finite responses end by themselves, and a drain waits for that.
	Finite
	// Infinite responses are streams, which end when their handler is told to.
	Infinite
)

var kinds = vocabulary[Kind]{"kind", []string{"auto", "finite", "infinite"}, []string{"Auto", "Finite", "Infinite"}}

// String returns "auto", "finite" or "infinite", and "Kind(n)" for any other value.
func (k Kind) String() string { return kinds.text(k) }

// MarshalText implements [encoding.TextMarshaler] with the words of String. It fails on an unknown
// value.
func (k Kind) MarshalText() ([]byte, error) { return kinds.marshal(k) }

// UnmarshalText implements [encoding.TextUnmarshaler] for the words of String, in lower case. On an
// error k is unchanged.
func (k *Kind) UnmarshalText(text []byte) error { return kinds.unmarshal(text, k) }
