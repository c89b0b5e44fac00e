package policy

import (
	"fmt"
	"time"
)

// What the two times that stand for more than their length are called where they are written down.
const (
	atOnce   = "at once"
	toTheEnd = "to the end"
)

// A length is a time as it is written in a file.
type length time.Duration

// MarshalText implements [encoding.TextMarshaler].
func (l length) MarshalText() ([]byte, error) { return []byte(time.Duration(l).String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. Its error goes on where the reader has named the key.
func (l *length) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf(`is %.40q; write a number with its unit, such as "1.5s" or "200ms"`, text)
	}
	*l = length(d)
	return nil
}

// A span is the length of a part of a rule, which may be one of the two words.
type span time.Duration

func (s span) String() string {
	switch time.Duration(s) {
	case AtOnce:
		return atOnce
	case ToTheEnd:
		return toTheEnd
	}
	return time.Duration(s).String()
}

// MarshalText implements [encoding.TextMarshaler].
func (s span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. Its error is as that of a length.
func (s *span) UnmarshalText(text []byte) error {
	switch string(text) {
	case atOnce:
		*s = span(AtOnce)
	case toTheEnd:
		*s = span(ToTheEnd)
	default:
		if err := (*length)(s).UnmarshalText(text); err != nil {
			return fmt.Errorf("%w, or %q", err, atOnce)
		}
	}
	return nil
}

// timeFaults are what is wrong with one time of a rule or a budget. A Timeout of 3 is 3 ns: but for [AtOnce], whoever writes
// so little has left out the unit.
func timeFaults(name string, d time.Duration) []string {
	switch {
	case d < 0:
		return []string{fmt.Sprintf("%s is %v; use zero or more", name, d)}
	case d > AtOnce && d < time.Microsecond:
		return []string{fmt.Sprintf("%s is %v; a bare number counts nanoseconds, write %d*time.Second", name, d, int64(d))}
	}
	return nil
}
