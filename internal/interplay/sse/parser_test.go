package sse

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// errTorn is a stream that ends within a line or an event. A browser would drop the event without a word.
var errTorn = errors.New("the stream ends within an event")

// An event is what one blank line dispatches.
type event struct {
	name, data, id, retry string
	fields                map[string]int // how often each was there
}

// A parser reads an event stream as WHATWG HTML 9.2.5 has it, but takes what that ignores for an error: fields that
// nobody knows, a retry that is no number, fields twice, and an end anywhere but behind a blank line.
type parser struct {
	in      *bufio.Reader
	afterCR bool // an LF that follows belongs to it
}

// next gives the next event, or io.EOF where one would begin.
func (p *parser) next() (event, error) {
	e := event{fields: map[string]int{}}
	var data []string
	for {
		line, err := p.line()
		switch {
		case err == io.EOF && (line != "" || len(e.fields) > 0):
			return e, fmt.Errorf("%w: %.80q", errTorn, line)
		case err != nil:
			return e, err
		case line == "" && len(e.fields) > 0:
			e.data = strings.Join(data, "\n")
			return e, nil
		case line == "" || line[0] == ':':
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "data":
			data = append(data, value)
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "retry":
			e.retry = value
			if _, err := strconv.ParseUint(value, 10, 32); err != nil {
				return e, fmt.Errorf("retry: %w", err)
			}
		default:
			return e, fmt.Errorf("a line that begins no field: %.80q", line)
		}
		if e.fields[name]++; name != "data" && e.fields[name] > 1 {
			return e, fmt.Errorf("an event with two fields %q", name)
		}
	}
}

// line gives the next line without its end, and what there is of one with io.EOF.
func (p *parser) line() (string, error) {
	var line []byte
	for {
		c, err := p.in.ReadByte()
		if err != nil {
			return string(line), err
		}
		if p.afterCR && c == '\n' {
			p.afterCR = false
			continue
		}
		p.afterCR = c == '\r'
		if c == '\r' || c == '\n' {
			return string(line), nil
		}
		line = append(line, c)
	}
}

// What a client saw of its stream, up to its clean end.
type ending struct {
	events  int  // that the library published
	told    bool // of the shutdown, as the very last
	refused bool // an answer with nothing but a time to come back
}

// follow reads a stream to its end. Every event but the last must be as published, each the one after the one before.
func follow(body io.Reader, each func()) (ending, error) {
	p := &parser{in: bufio.NewReader(body)}
	var e ending
	last := -1
	for {
		got, err := p.next()
		switch {
		case err == io.EOF:
			return e, nil
		case err != nil:
			return e, err
		case e.told || e.refused:
			return e, fmt.Errorf("an event after the farewell: %.80q", got.data)
		case got.name == "shutdown":
			e.told = true
			err = isFarewell(got)
		case len(got.fields) == 1 && got.fields["retry"] == 1 && e.events == 0:
			e.refused = true
		default:
			e.events++
			var n int
			n, err = isPublished(got)
			if err == nil && last >= 0 && n != last+1 {
				err = fmt.Errorf("event %d after event %d", n, last)
			}
			last = n
		}
		if err != nil {
			return e, err
		}
		each()
	}
}

func isFarewell(e event) error {
	var told struct{ Retry int }
	if err := json.Unmarshal([]byte(e.data), &told); err != nil {
		return fmt.Errorf("the farewell's data: %w", err)
	}
	if e.retry != strconv.Itoa(told.Retry) || e.fields["id"] != 0 {
		return fmt.Errorf("a farewell with retry %q, data %q and %d ids", e.retry, e.data, e.fields["id"])
	}
	return nil
}

// alphabet is what events are made of. Its lines are of odd lengths.
var alphabet = strings.Repeat("abcdefghijklmnopqrstuvwxyz\n0123456789 ", 3000)

// payload is the data of the n-th event.
func payload(n, size int) string {
	return fmt.Sprintf("%d %d %s.", n, size, alphabet[:size])
}

// isPublished gives an event's number, or tells why it is none that was published.
func isPublished(e event) (n int, err error) {
	var size int
	if _, err := fmt.Sscanf(e.data, "%d %d", &n, &size); err != nil || size > len(alphabet) {
		return 0, fmt.Errorf("no event of ours: %.80q: %v", e.data, err)
	}
	if e.data != payload(n, size) || e.name != "" || e.retry != "" {
		return n, fmt.Errorf("event %d isn't as it was published: %d bytes, name %q, retry %q", n, len(e.data), e.name, e.retry)
	}
	return n, nil
}

// The client must refuse what a real one would bear in silence: else the tables say nothing.
func TestStrictClient(t *testing.T) {
	const ours, bye = "id: 4\ndata: 1 2 ab.\n\n", "retry: 1500\nevent: shutdown\ndata: {\"retry\":1500}\n\n"
	for body, want := range map[string]string{
		"":                                   "",
		ours + bye:                           "",
		":c\n\r\ndata:1 0 .\r\r\n:c\r" + bye: "",
		"retry: 1500\n\n":                    "",
		"data: 0 29 abcdefghijklmnopqrstuvwxyz\ndata: 01.\n\ndata: 1 0 .\n\n": "",
		ours + "data: 2 0 .\n":          errTorn.Error(),
		ours + "data: 2 0":              errTorn.Error(),
		"data: 1 2 a\n\n":               "isn't as it was published",
		ours + ours:                     "event 1 after event 1",
		ours + "data: 3 0 .\n\n":        "event 3 after event 1",
		ours + bye + bye:                "after the farewell",
		bye + ours:                      "after the farewell",
		"id: 5\n" + bye:                 "1 ids",
		"data: a\nretry: 1\n" + bye:     "two fields",
		"retry: 1\nevent: shutdown\n\n": "the farewell's data",
		"junk\n\n":                      "begins no field",
		ours + "retry: 1500\n\n":        "no event of ours",
	} {
		_, err := follow(strings.NewReader(body), func() {})
		if want == "" {
			assert.NoError(t, err, "%q", body)
		} else {
			assert.ErrorContains(t, err, want, "%q", body)
		}
	}
}

// patience is for what should come at once, on the slowest machine.
const patience = 20 * time.Second
