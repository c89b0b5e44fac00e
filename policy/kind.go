package policy

import (
	"fmt"
	"slices"
)

// A Kind is how a response ends. The zero Kind is Auto.
type Kind uint8

const (
	// Auto leaves it open: what the handler does decides between the other two.
	Auto Kind = iota
	// Finite responses end by themselves, and a drain waits for that.
	Finite
	// Infinite responses are streams, which end when their handler is told to.
	Infinite
)

var kindNames = []string{Auto: "auto", Finite: "finite", Infinite: "infinite"}

// String returns "auto", "finite" or "infinite", and "Kind(n)" for any other value.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// MarshalText implements [encoding.TextMarshaler] with the words of String. It fails on an unknown
// value.
func (k Kind) MarshalText() ([]byte, error) {
	if int(k) < len(kindNames) {
		return []byte(kindNames[k]), nil
	}
	return nil, fmt.Errorf("policy: kind %d is unknown; use Auto, Finite or Infinite", uint8(k))
}

// UnmarshalText implements [encoding.TextUnmarshaler] for the words of String, in lower case. On an
// error k is unchanged.
func (k *Kind) UnmarshalText(text []byte) error {
	i := slices.Index(kindNames, string(text))
	if i < 0 {
		return fmt.Errorf(`policy: kind %q is unknown; use "auto", "finite" or "infinite"`, text)
	}
	*k = Kind(i)
	return nil
}
