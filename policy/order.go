package policy

import "cmp"

// An Order is the order in which the streams of a rule get their farewells. The zero Order is
// Random. Under a rule without a Spread all get them at once, and the order has no effect.
type Order uint8

const (
	// Random is a new order in each drain, so that no client is always the first.
	Random Order = iota
	// OldestFirst begins with the streams that have been open the longest (Subject.Age).
	OldestFirst
	// YoungestFirst begins with the streams that were opened last.
	YoungestFirst
	// IdleFirst begins with the streams on which no byte has moved for the longest (Subject.Idle),
	// so that busy ones have the longest to finish.
	IdleFirst
)

var orders = vocabulary[Order]{
	"order", []string{"random", "oldest-first", "youngest-first", "idle-first"},
	[]string{"Random", "OldestFirst", "YoungestFirst", "IdleFirst"},
}

// String returns "random", "oldest-first", "youngest-first" or "idle-first", and "Order(n)" for any
// other value.
func (o Order) String() string { return orders.text(o) }

// MarshalText implements [encoding.TextMarshaler] with the words of String. It fails on an unknown
// value.
func (o Order) MarshalText() ([]byte, error) { return orders.marshal(o) }

// UnmarshalText implements [encoding.TextUnmarshaler] for the words of String. On an error o is
// unchanged.
func (o *Order) UnmarshalText(text []byte) error { return orders.unmarshal(text, o) }

// compare returns a negative number where a's farewell comes before b's, zero where the order
// doesn't say.
func (o Order) compare(a, b *Subject) int {
	switch o {
	case OldestFirst:
		return cmp.Compare(b.Age, a.Age)
	case YoungestFirst:
		return cmp.Compare(a.Age, b.Age)
	case IdleFirst:
		return cmp.Compare(b.Idle, a.Idle)
	default:
		return 0
	}
}
