package policy

import (
	"fmt"
	"time"
)

// How files and tables write the two times of a rule that stand for more than their length.
const (
	atOnce   = "at once"
	toTheEnd = "to the end"
)

// A fileTime is a time as a file writes it, such as "1.5s".
type fileTime time.Duration

// MarshalText implements [encoding.TextMarshaler].
func (t fileTime) MarshalText() ([]byte, error) { return []byte(time.Duration(t).String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. Its error continues a sentence that begins
// with the key.
func (t *fileTime) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf(`is %.40q; write a number with its unit, such as "1.5s" or "200ms"`, text)
	}
	*t = fileTime(d)
	return nil
}

// A ruleTime is a time of a rule as a file writes it: a fileTime, or "at once" or "to the end".
type ruleTime time.Duration

func (t ruleTime) String() string {
	switch time.Duration(t) {
	case AtOnce:
		return atOnce
	case ToTheEnd:
		return toTheEnd
	}
	return time.Duration(t).String()
}

// MarshalText implements [encoding.TextMarshaler].
func (t ruleTime) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. Its error continues a sentence that begins
// with the key.
func (t *ruleTime) UnmarshalText(text []byte) error {
	switch string(text) {
	case atOnce:
		*t = ruleTime(AtOnce)
	case toTheEnd:
		*t = ruleTime(ToTheEnd)
	default:
		if err := (*fileTime)(t).UnmarshalText(text); err != nil {
			return fmt.Errorf("%w, or %q", err, atOnce)
		}
	}
	return nil
}

// timeFaults returns what is wrong with one time of a rule or a budget. A time of 1 ns is [AtOnce];
// one of 2 to 999 ns, such as a Timeout of 3, must have lost its unit.
func timeFaults(name string, d time.Duration) []string {
	switch {
	case d < 0:
		return []string{fmt.Sprintf("%s is %v; use zero or more", name, d)}
	case d > AtOnce && d < time.Microsecond:
		return []string{fmt.Sprintf("%s is %v; a bare number counts nanoseconds, write %d*time.Second", name, d, int64(d))}
	}
	return nil
}
