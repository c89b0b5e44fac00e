package endings

import (
	"fmt"
	"regexp"
	"strings"
)

// A speech is what a body speaks. Its units are numbered, so that a client sees which of them it
// has, and that none is torn.
type speech struct {
	contentType string
	unit        func(i, size int) string // size is the length of a filler
	last        string                   // what a handler that has said all writes in the end
	farewell    *regexp.Regexp           // of the whole farewell; nil: it can have none
}

func filler(size int) string { return strings.Repeat("x", size) }

const bye = "bye" // what farewells with a message say

var speeches = map[string]speech{
	"plain": {
		contentType: "text/plain",
		unit:        func(i, size int) string { return fmt.Sprintf("<%d%s>", i, filler(size)) },
		last:        "<end>",
	},
	"events": {
		contentType: "text/event-stream",
		unit:        func(i, size int) string { return fmt.Sprintf("id: %d\ndata: %s\n\n", i, filler(size)) },
		last:        "event: end\ndata:\n\n",
		farewell:    regexp.MustCompile(`^(retry: \d+\n)?(event: shutdown\ndata: .*\n)?\n$`),
	},
	"lines": {
		contentType: "application/x-ndjson",
		unit:        func(i, size int) string { return fmt.Sprintf("[%d,%q]\n", i, filler(size)) },
		last:        "[]\n",
		farewell:    regexp.MustCompile("^" + bye + "\n$"),
	},
	"parts": {
		contentType: "multipart/x-mixed-replace; boundary=b",
		unit:        func(i, size int) string { return fmt.Sprintf("--b\r\n\r\n%d %s\r\n", i, filler(size)) },
		last:        "--b\r\n\r\nend\r\n",
		farewell:    regexp.MustCompile("^(--b\r\n" + bye + "\r\n)?--b--\r\n$"),
	},
}

// A text is what a client has of a body.
type text struct {
	units    int    // whole ones
	last     bool   // all was said
	farewell bool   // a whole farewell is the end of it
	rest     string // what is behind all that
}

// parse reads a body of units of one size. What can't be parsed is left in rest.
func (s speech) parse(body string, size int) (t text) {
	for {
		unit := s.unit(t.units, size)
		if !strings.HasPrefix(body, unit) {
			break
		}
		body = body[len(unit):]
		t.units++
	}
	if strings.HasPrefix(body, s.last) {
		body, t.last = body[len(s.last):], true
	}
	if s.farewell != nil && s.farewell.MatchString(body) {
		return text{t.units, t.last, true, ""}
	}
	t.rest = body
	return t
}

// torn reports whether the rest is the beginning of something that a handler writes.
func (s speech) torn(t text, size int) bool {
	return t.rest != "" && (strings.HasPrefix(s.unit(t.units, size), t.rest) || strings.HasPrefix(s.last, t.rest))
}
