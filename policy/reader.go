package policy

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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

	brokenBudget bool // some of the faults are in the budget

	counted int64 // line breaks are counted up to this offset of source
	line    int   // the line of that offset
}

// newReader returns a reader of text, or what makes it no JSON.
func newReader(text []byte, name string) (*reader, []fault) {
	r := &reader{source: text, name: name, tokens: json.NewDecoder(bytes.NewReader(text)), line: 1}
	r.tokens.UseNumber()
	var syntax *json.SyntaxError
	if err := json.Unmarshal(text, new(json.RawMessage)); errors.As(err, &syntax) {
		// The offset is that of the byte after the wrong one.
		line := 1 + bytes.Count(text[:max(0, syntax.Offset-1)], []byte("\n"))
		return nil, []fault{{position{name, line}, "this is not JSON: " + err.Error()}}
	}
	return r, nil
}

// position returns that of the last token.
func (r *reader) position() position {
	end := r.tokens.InputOffset()
	r.line += bytes.Count(r.source[r.counted:end], []byte("\n"))
	r.counted = end
	return position{r.name, r.line}
}

func (r *reader) fault(format string, args ...any) {
	r.faults = append(r.faults, fault{r.position(), fmt.Sprintf(format, args...)})
}

func (r *reader) next() json.Token {
	t, _ := r.tokens.Token() // newReader has checked the syntax
	return t
}

// skip passes over the value that begins with t.
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

// members calls read for each member of the object whose { was the last token. read must read the
// member's value.
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

// A key is the name of a member that an object may have and a function that reads its value.
type key struct {
	name string
	read func(name string)
}

// object reads the value that begins with t and must be an object with these keys. name is the
// value's own key, what describes the object.
func (r *reader) object(t json.Token, name, what string, keys []key) {
	if t != json.Delim('{') {
		r.wrongType(t, name, "an object")
		return
	}
	r.members(func(name string) {
		i := slices.IndexFunc(keys, func(k key) bool { return k.name == name })
		if i < 0 {
			r.unknown(name, what, keys)
			return
		}
		keys[i].read(name)
	})
}

func (r *reader) unknown(name, what string, keys []key) {
	known := make([]string, len(keys))
	for i, k := range keys {
		known[i] = k.name
	}
	r.fault("unknown field %q; %s has %s", name, what, strings.Join(known, ", "))
	r.skip(r.next())
}

// wrongType notes that the value of the named key, which begins with t, should have been something
// else, and passes over it.
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

// textField returns a function that reads a string with its type's own UnmarshalText. want
// describes what the string may be.
func (r *reader) textField(to encoding.TextUnmarshaler, want string) func(name string) {
	return func(name string) {
		t := r.next()
		s, ok := t.(string)
		if !ok {
			r.wrongType(t, name, want)
		} else if err := to.UnmarshalText([]byte(s)); err != nil {
			text, whole := strings.CutPrefix(err.Error(), "policy: ")
			if !whole { // it continues a sentence that begins with the key
				text = name + " " + text
			}
			r.fault("%s", text)
		}
	}
}

func (r *reader) stringField(to *string) func(name string) {
	return func(name string) {
		t := r.next()
		s, ok := t.(string)
		if !ok {
			r.wrongType(t, name, "a string")
			return
		}
		*to = s
	}
}

func (r *reader) boolField(to *bool) func(name string) {
	return func(name string) {
		t := r.next()
		b, ok := t.(bool)
		if !ok {
			r.wrongType(t, name, "true or false")
			return
		}
		*to = b
	}
}

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

const wantTime = `a time in quotes, such as "1.5s"`

func (r *reader) timeField(to *time.Duration) func(name string) {
	return r.textField((*fileTime)(to), wantTime)
}

func (r *reader) ruleTimeField(to *time.Duration) func(name string) {
	return r.textField((*ruleTime)(to), wantTime)
}
