package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A reader reads a policy from JSON and goes on after a fault, so that all are found at once.
// encoding/json alone stops at the first one, knows no lines, and of two equal keys takes the last
// without an error.
type reader struct {
	source []byte
	name   string // of the file
	tokens *json.Decoder
	faults []fault

	line    int   // of the byte at counted
	counted int64 // an offset in source, as far as line breaks have been counted
}

// newReader returns a reader of text. It fails where that is not JSON.
func newReader(text []byte, name string) (*reader, error) {
	var syntax *json.SyntaxError
	if err := json.Unmarshal(text, new(json.RawMessage)); errors.As(err, &syntax) {
		// The offset is that of the byte after the wrong one.
		line := 1 + bytes.Count(text[:max(0, syntax.Offset-1)], []byte("\n"))
		return nil, joinFaultsAt([]fault{{position{name, line}, "this is not JSON: " + err.Error()}})
	}
	r := &reader{source: text, name: name, tokens: json.NewDecoder(bytes.NewReader(text)), line: 1}
	r.tokens.UseNumber()
	return r, nil
}

// position returns where the last token ends.
func (r *reader) position() position {
	end := r.tokens.InputOffset()
	r.line += bytes.Count(r.source[r.counted:end], []byte("\n"))
	r.counted = end
	return position{r.name, r.line}
}

func (r *reader) fault(format string, args ...any) {
	r.faults = append(r.faults, fault{r.position(), fmt.Sprintf(format, args...)})
}

// next reads one token.
func (r *reader) next() json.Token {
	t, _ := r.tokens.Token() // newReader has checked the syntax
	return t
}

// skip passes over the rest of the value whose first token was t.
func (r *reader) skip(t json.Token) {
	for depth := 0; ; t = r.next() {
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return
		}
	}
}

// members calls read with the name of each member of the object whose { was the last token. read
// must read the member's value.
func (r *reader) members(read func(name string)) {
	lines := map[string]int{} // by the names seen so far
	for r.tokens.More() {
		name, _ := r.next().(string)
		if line := lines[name]; line > 0 {
			r.fault("%q is given twice, first on line %d; keep one of them", name, line)
			r.skip(r.next())
			continue
		}
		lines[name] = r.position().line
		read(name)
	}
	r.next()
}

// A key is the name of a member that an object may have and a function that reads its value, which
// is called with the name for its errors.
type key struct {
	name string
	read func(name string)
}

// object reads a value that must be an object with these keys. name is the value's own key, what
// describes the object, as in "a rule".
func (r *reader) object(name, what string, keys []key) { r.objectFrom(r.next(), name, what, keys) }

// objectFrom is object for a value whose first token was t.
func (r *reader) objectFrom(t json.Token, name, what string, keys []key) {
	if t != json.Delim('{') {
		r.wrongType(t, name, "an object")
		return
	}
	r.members(func(name string) {
		known := make([]string, len(keys))
		for i, k := range keys {
			if k.name == name {
				k.read(name)
				return
			}
			known[i] = k.name
		}
		r.fault("unknown field %q; %s has %s", name, what, strings.Join(known, ", "))
		r.skip(r.next())
	})
}

// wrongType notes that the value of the named key, whose first token was t, should have been
// something else, and passes over it.
func (r *reader) wrongType(t json.Token, name, want string) {
	is := fmt.Sprint(t)
	switch t := t.(type) {
	case nil:
		is = "null"
	case string:
		is = fmt.Sprintf("%.40q", t)
	case json.Delim:
		is = map[json.Delim]string{'{': "an object", '[': "an array"}[t]
	}
	r.fault("%s is %.40s; write %s", name, is, want)
	r.skip(t)
}

// read reads the value of the named key if it is of type T, and else passes over it. want describes
// what it should be.
func read[T any](r *reader, name, want string) (value T, ok bool) {
	t := r.next()
	if value, ok = t.(T); !ok {
		r.wrongType(t, name, want)
	}
	return value, ok
}

// valueField returns a function that reads a value of type T.
func valueField[T any](r *reader, to *T, want string) func(name string) {
	return func(name string) {
		if value, ok := read[T](r, name, want); ok {
			*to = value
		}
	}
}

func (r *reader) stringField(to *string) func(name string) { return valueField(r, to, "a string") }

func (r *reader) boolField(to *bool) func(name string) { return valueField(r, to, "true or false") }

func (r *reader) intField(to *int) func(name string) {
	return func(name string) {
		t := r.next()
		n, ok := t.(json.Number)
		i, err := strconv.Atoi(n.String())
		if !ok || err != nil {
			r.wrongType(t, name, "a whole number")
			return
		}
		*to = i
	}
}

// wordField returns a function that reads one of the words of a type.
func wordField[T ~uint8](r *reader, to *T, words *vocabulary[T]) func(name string) {
	return func(name string) {
		word, ok := read[string](r, name, words.choices())
		if !ok {
			return
		}
		value, problem := words.find(word)
		if problem != "" {
			r.fault("%s", problem)
			return
		}
		*to = value
	}
}

// timeField returns a function that reads a time of a budget or a window.
func (r *reader) timeField(to *time.Duration) func(name string) {
	return r.parsedField(to, time.ParseDuration, "")
}

// ruleTimeField returns a function that reads a time of a rule.
func (r *reader) ruleTimeField(to *time.Duration) func(name string) {
	return r.parsedField(to, parseTime, `, or "at once"`)
}

func (r *reader) parsedField(to *time.Duration, parse func(string) (time.Duration, error), or string) func(name string) {
	return func(name string) {
		text, ok := read[string](r, name, `a time in quotes, such as "1.5s"`)
		if !ok {
			return
		}
		d, err := parse(text)
		if err != nil {
			r.fault(`%s is %.40q; write a number with its unit, such as "1.5s" or "200ms"%s`, name, text, or)
			return
		}
		*to = d
	}
}
