package policy

import (
	"fmt"
	"slices"
	"strings"
)

// A vocabulary has the words for the values 0, 1, 2… of a type.
type vocabulary struct {
	what  string   // the type, as in "kind"
	words []string // as files have them
	names []string // of the constants
}

// text returns the word for a value, and "What(n)" for one that is unknown.
func (v *vocabulary) text(value uint8) string {
	if v.knows(value) {
		return v.words[value]
	}
	return fmt.Sprintf("%s(%d)", v.title(), value)
}

func (v *vocabulary) knows(value uint8) bool { return int(value) < len(v.words) }

func (v *vocabulary) title() string { return strings.ToUpper(v.what[:1]) + v.what[1:] }

// marshal returns the word for a value; it fails on one that is unknown.
func (v *vocabulary) marshal(value uint8) ([]byte, error) {
	if v.knows(value) {
		return []byte(v.words[value]), nil
	}
	return nil, fmt.Errorf("policy: %s %d is unknown; use %s", v.what, value, either(v.names))
}

// find returns the value of a word.
func (v *vocabulary) find(word []byte) (uint8, error) {
	i := slices.Index(v.words, string(word))
	if i < 0 {
		return 0, fmt.Errorf("policy: %s %.40q is unknown; use %s", v.what, word, v.quoted())
	}
	return uint8(i), nil
}

// quoted returns the words as the choices that a file has.
func (v *vocabulary) quoted() string {
	quoted := make([]string, len(v.words))
	for i, word := range v.words {
		quoted[i] = fmt.Sprintf("%q", word)
	}
	return either(quoted)
}

// faults returns what is wrong with the value of a field that has the type's name.
func (v *vocabulary) faults(value uint8) []string {
	if v.knows(value) {
		return nil
	}
	return []string{fmt.Sprintf("%s %d is unknown; use %s", v.title(), value, either(v.names))}
}

// either returns "a, b or c". There must be at least two choices.
func either(choices []string) string {
	last := len(choices) - 1
	return strings.Join(choices[:last], ", ") + " or " + choices[last]
}
