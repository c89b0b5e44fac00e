package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A vocabulary has the words and the names for the values of a type, which count from 0.
type vocabulary[T ~uint8] struct {
	what  string   // the type, as in "kind"
	words []string // as files have them
	names []string // of the constants
}

// text returns the word for a value, and "What(n)" for one that is unknown.
func (v *vocabulary[T]) text(value T) string {
	if v.knows(value) {
		return v.words[value]
	}
	return fmt.Sprintf("%s(%d)", v.title(), value)
}

func (v *vocabulary[T]) knows(value T) bool { return int(value) < len(v.words) }

func (v *vocabulary[T]) title() string { return strings.ToUpper(v.what[:1]) + v.what[1:] }

// marshal returns the word for a value; it fails on one that is unknown.
func (v *vocabulary[T]) marshal(value T) ([]byte, error) {
	if v.knows(value) {
		return []byte(v.words[value]), nil
	}
	return nil, fmt.Errorf("policy: %s %d is unknown; use %s", v.what, value, either(v.names))
}

// unmarshal stores the value of a word in to; it fails on one that is unknown.
func (v *vocabulary[T]) unmarshal(word []byte, to *T) error {
	value, problem := v.find(string(word))
	if problem != "" {
		return errors.New("policy: " + problem)
	}
	*to = value
	return nil
}

// find returns the value of a word, or what is wrong with it.
func (v *vocabulary[T]) find(word string) (value T, problem string) {
	i := slices.Index(v.words, word)
	if i < 0 {
		return 0, fmt.Sprintf("%s %.40q is unknown; use %s", v.what, word, v.choices())
	}
	return T(i), ""
}

// choices returns the words as a file can have them.
func (v *vocabulary[T]) choices() string {
	quoted := make([]string, len(v.words))
	for i, word := range v.words {
		quoted[i] = fmt.Sprintf("%q", word)
	}
	return either(quoted)
}

// faults returns what is wrong with a value: it is that of a field which has the type's name.
func (v *vocabulary[T]) faults(value T) []string {
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
