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

// timeText returns a time of a rule as files and tables write it. It returns the empty string for
// zero, which they leave out.
func timeText(d time.Duration) string {
	switch d {
	case AtOnce:
		return atOnce
	case ToTheEnd:
		return toTheEnd
	default:
		return unlessZero(d, d.String())
	}
}

// parseTime reads a time of a rule as a file writes it.
func parseTime(text string) (time.Duration, error) {
	switch text {
	case atOnce:
		return AtOnce, nil
	case toTheEnd:
		return ToTheEnd, nil
	default:
		return time.ParseDuration(text)
	}
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
