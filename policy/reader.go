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

// A reader reads rules from JSON and goes on after what is wrong, so that all faults are found at once. encoding/json
// alone stops at the first one, knows no lines, and takes the last of two equal keys without a word.
type reader struct {
	source []byte
	file   string
	tokens *json.Decoder
	faults []fault

	halfBudget bool // some of them are the budget's

	counted int64 // up to here
	line    int   // is this line
}

// newReader returns a reader of text, or what makes it no JSON.
func newReader(text []byte, file string) (*reader, []fault) {
	r := &reader{source: text, file: file, tokens: json.NewDecoder(bytes.NewReader(text)), line: 1}
	r.tokens.UseNumber()
	var broken *json.SyntaxError
	if err := json.Unmarshal(text, new(json.RawMessage)); errors.As(err, &broken) {
		// The offset is behind the byte that is wrong.
		line := 1 + bytes.Count(text[:max(0, broken.Offset-1)], []byte("\n"))
		return nil, []fault{{place{file, line}, "this is not JSON: " + err.Error()}}
	}
	return r, nil
}

// here is the place of the last token.
func (r *reader) here() place {
	end := r.tokens.InputOffset()
	r.line += bytes.Count(r.source[r.counted:end], []byte("\n"))
	r.counted = end
	return place{r.file, r.line}
}

func (r *reader) fault(format string, args ...any) {
	r.faults = append(r.faults, fault{r.here(), fmt.Sprintf(format, args...)})
}

func (r *reader) next() json.Token {
	t, _ := r.tokens.Token() // newReader has seen that there is nothing wrong with it
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

// members calls read for each key of the object that has just begun. read must read its value.
func (r *reader) members(read func(key string)) {
	seen := map[string]int{}
	for r.tokens.More() {
		key, _ := r.next().(string)
		if line := seen[key]; line > 0 {
			r.fault("%q is given twice, first on line %d; keep one of them", key, line)
			r.skip(r.next())
			continue
		}
		seen[key] = r.here().line
		read(key)
	}
	r.next()
}

// A field is a key that an object may have, and what reads its value.
type field struct {
	key  string
	read func(key string)
}

// object reads the object that begins with t, if it is one. what says what it is about.
func (r *reader) object(t json.Token, key, what string, fields []field) {
	if t != json.Delim('{') {
		r.wrong(t, key, "an object")
		return
	}
	r.members(func(key string) {
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == key })
		if i < 0 {
			r.unknown(key, what, fields)
			return
		}
		fields[i].read(key)
	})
}

func (r *reader) unknown(key, what string, fields []field) {
	known := make([]string, len(fields))
	for i, f := range fields {
		known[i] = f.key
	}
	r.fault("unknown field %q; %s has %s", key, what, strings.Join(known, ", "))
	r.skip(r.next())
}

// wrong notes that the value of key, which begins with t, should have been something else, and passes over it.
func (r *reader) wrong(t json.Token, key, want string) {
	is := fmt.Sprint(t)
	switch t := t.(type) {
	case nil:
		is = "null"
	case string:
		is = fmt.Sprintf("%.40q", t)
	case json.Delim:
		is = map[json.Delim]string{'{': "an object", '[': "an array"}[t]
	}
	r.fault("%s is %.40s; write %s", key, is, want)
	r.skip(t)
}

// words reads a string whose own type knows what to make of it. want says what may stand there.
func (r *reader) words(to encoding.TextUnmarshaler, want string) func(key string) {
	return func(key string) {
		t := r.next()
		word, ok := t.(string)
		if !ok {
			r.wrong(t, key, want)
		} else if err := to.UnmarshalText([]byte(word)); err != nil {
			text, own := strings.CutPrefix(err.Error(), "policy: ")
			if !own {
				text = key + " " + text
			}
			r.fault("%s", text)
		}
	}
}

func (r *reader) text(to *string) func(key string) {
	return func(key string) {
		t := r.next()
		s, ok := t.(string)
		if !ok {
			r.wrong(t, key, "a string")
			return
		}
		*to = s
	}
}

func (r *reader) flag(to *bool) func(key string) {
	return func(key string) {
		t := r.next()
		b, ok := t.(bool)
		if !ok {
			r.wrong(t, key, "true or false")
			return
		}
		*to = b
	}
}

func (r *reader) number(to *int) func(key string) {
	return func(key string) {
		t := r.next()
		n, ok := t.(json.Number)
		i, err := strconv.Atoi(n.String())
		if !ok || err != nil {
			r.wrong(t, key, "a whole number")
			return
		}
		*to = i
	}
}

const wantTime = `a time in quotes, such as "1.5s"`

func (r *reader) length(to *time.Duration) func(key string) {
	return r.words((*length)(to), wantTime)
}

func (r *reader) span(to *time.Duration) func(key string) {
	return r.words((*span)(to), wantTime)
}
