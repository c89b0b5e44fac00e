package policy

import (
	"errors"
	"fmt"
)

// A place is where something is written: a line of a file. The zero place is in the program.
type place struct {
	file string // may be unknown
	line int
}

func (p place) String() string {
	switch {
	case p.line == 0:
		return ""
	case p.file == "":
		return fmt.Sprintf("line %d", p.line)
	default:
		return fmt.Sprintf("%s:%d", p.file, p.line)
	}
}

// A fault is one thing that is wrong, in a sentence for people.
type fault struct {
	at   place
	text string
}

func faultsAt(at place, prefix string, texts []string) []fault {
	faults := make([]fault, len(texts))
	for i, text := range texts {
		faults[i] = fault{at, prefix + text}
	}
	return faults
}

// joinedAt makes one error of many faults, one line each, and nil of none.
func joinedAt(faults []fault) error {
	errs := make([]error, len(faults))
	for i, f := range faults {
		where := "policy: "
		if f.at != (place{}) {
			where += f.at.String() + ": "
		}
		errs[i] = errors.New(where + f.text)
	}
	return errors.Join(errs...)
}

// joined is joinedAt for what is written in the program.
func joined(prefix string, faults []string) error {
	errs := make([]error, len(faults))
	for i, fault := range faults {
		errs[i] = errors.New(prefix + fault)
	}
	return errors.Join(errs...)
}
