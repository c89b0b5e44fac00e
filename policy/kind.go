package policy

import (
	"fmt"
	"slices"
)

// A Kind says how a response ends. The zero Kind is Auto.
type Kind uint8

const (
	// Auto is undecided: what the handler does settles it.
	Auto Kind = iota
	// Finite responses end by themselves and must be let finish.
	Finite
	// Infinite responses end only when they are told: streams.
	Infinite
)

var kinds = []string{Auto: "auto", Finite: "finite", Infinite: "infinite"}

// String returns "auto", "finite" or "infinite", and "Kind(n)" for a value that is none of them.
func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// MarshalText implements [encoding.TextMarshaler] with the words of String. It fails on an unknown value.
func (k Kind) MarshalText() ([]byte, error) {
	if int(k) < len(kinds) {
		return []byte(kinds[k]), nil
	}
	return nil, fmt.Errorf("policy: kind %d is unknown; use Auto, Finite or Infinite", uint8(k))
}

// UnmarshalText implements [encoding.TextUnmarshaler] for the words of String, in lower case. On an error k is unchanged.
func (k *Kind) UnmarshalText(text []byte) error {
	i := slices.Index(kinds, string(text))
	if i < 0 {
		return fmt.Errorf(`policy: kind %q is unknown; use "auto", "finite" or "infinite"`, text)
	}
	*k = Kind(i)
	return nil
}
