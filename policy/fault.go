package policy

import (
	"errors"
	"fmt"
)

// A position is a line of a policy file. The zero position stands for what the program has set.
type position struct {
	file string // its name; empty where it was not given one
	line int
}

// String returns the empty string for the zero position.
func (p position) String() string {
	switch {
	case p.line == 0:
		return ""
	case p.file == "":
		return fmt.Sprintf("line %d", p.line)
	default:
		return fmt.Sprintf("%s:%d", p.file, p.line)
	}
}

// A fault is one thing that is wrong with a policy, in a sentence for people.
type fault struct {
	at   position
	text string
}

func (f fault) String() string {
	if f.at == (position{}) {
		return f.text
	}
	return f.at.String() + ": " + f.text
}

func faultsAt(at position, prefix string, texts []string) []fault {
	faults := make([]fault, len(texts))
	for i, text := range texts {
		faults[i] = fault{at, prefix + text}
	}
	return faults
}

// joinFaultsAt returns one error with a line for each fault, nil for none.
func joinFaultsAt(faults []fault) error {
	lines := make([]string, len(faults))
	for i, f := range faults {
		lines[i] = f.String()
	}
	return joinFaults("policy: ", lines)
}

// joinFaults returns one error with a line for each fault, nil for none. prefix begins each line.
func joinFaults(prefix string, faults []string) error {
	errs := make([]error, len(faults))
	for i, fault := range faults {
		errs[i] = errors.New(prefix + fault)
	}
	return errors.Join(errs...)
}
