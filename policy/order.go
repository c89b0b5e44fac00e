package policy

import (
	"cmp"
	"fmt"
	"slices"
)

// An Order says which of a rule's streams are told first. The zero Order is Random. Without a Spread all are told at once,
// and their order says nothing.
type Order uint8

const (
	// Random is in no order, so that nobody is always the first to have to come back.
	Random Order = iota
	// OldestFirst is by Subject.Age: those that have been open the longest are told first.
	OldestFirst
	// YoungestFirst is the other way round.
	YoungestFirst
	// IdleFirst is by Subject.Idle: those that nothing has moved on for the longest are told first, and whoever is in the
	// middle of something has the longest to end it.
	IdleFirst
)

var orders = []string{Random: "random", OldestFirst: "oldest-first", YoungestFirst: "youngest-first", IdleFirst: "idle-first"}

// String returns "random", "oldest-first", "youngest-first" or "idle-first", and "Order(n)" for a value that is none of
// them.
func (o Order) String() string {
	if int(o) < len(orders) {
		return orders[o]
	}
	return fmt.Sprintf("Order(%d)", uint8(o))
}

// MarshalText implements [encoding.TextMarshaler] with the words of String. It fails on an unknown value.
func (o Order) MarshalText() ([]byte, error) {
	if int(o) < len(orders) {
		return []byte(orders[o]), nil
	}
	return nil, fmt.Errorf("policy: order %d is unknown; use Random, OldestFirst, YoungestFirst or IdleFirst", uint8(o))
}

// UnmarshalText implements [encoding.TextUnmarshaler] for the words of String. On an error o is unchanged.
func (o *Order) UnmarshalText(text []byte) error {
	i := slices.Index(orders, string(text))
	if i < 0 {
		return fmt.Errorf(`policy: order %.40q is unknown; use "random", "oldest-first", "youngest-first" or "idle-first"`, text)
	}
	*o = Order(i)
	return nil
}

// compare is negative where a is to be told before b.
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
