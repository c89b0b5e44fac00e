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

	"github.com/stretchr/testify/assert"
)

// errPartialEvent is the error of a stream that ends within an event, which a browser would ignore.
var errPartialEvent = errors.New("the stream ends within an event")

// An event is what a blank line dispatches.
type event struct {
	name, data, id, retry string
	fields                map[string]int // how often each was there
}

// A parser reads an event stream (WHATWG HTML, 9.2.5), and takes for an error what that ignores:
// unknown fields, a retry that is no number, a field twice, and an end anywhere but after a blank
// line.
type parser struct {
	in      *bufio.Reader
	afterCR bool // an LF that follows belongs to it
}

// next returns the next event, or io.EOF if the stream ends before it.
func (p *parser) next() (event, error) {
	e := event{fields: map[string]int{}}
	var data []string
	for {
		line, err := p.line()
		switch {
		case err == io.EOF && (line != "" || len(e.fields) > 0):
			return e, fmt.Errorf("%w: %.80q", errPartialEvent, line)
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

// line returns the next line without its end. With io.EOF it returns what there is of a line.
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

// An ending is what a client has read of a stream, up to its clean end.
type ending struct {
	events  int  // how many came that the library published
	told    bool // the last event was the farewell
	refused bool // there was nothing but a retry field
}

// readStream reads a stream to its end, and calls each for every event. Every event but the
// farewell has to be as it was published, and to have the number after that of the event before.
func readStream(body io.Reader, each func()) (ending, error) {
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
			err = checkFarewell(got)
		case len(got.fields) == 1 && got.fields["retry"] == 1 && e.events == 0:
			e.refused = true
		default:
			e.events++
			var n int
			n, err = checkPublished(got)
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

// checkFarewell returns what is wrong with a farewell.
func checkFarewell(e event) error {
	var told struct{ Retry int }
	if err := json.Unmarshal([]byte(e.data), &told); err != nil {
		return fmt.Errorf("the farewell's data: %w", err)
	}
	if e.retry != strconv.Itoa(told.Retry) || e.fields["id"] != 0 {
		return fmt.Errorf("a farewell with retry %q, data %q and %d ids", e.retry, e.data, e.fields["id"])
	}
	return nil
}

// alphabet is what the data of events is made of.
var alphabet = strings.Repeat("abcdefghijklmnopqrstuvwxyz\n0123456789 ", 3000)

// payload returns the data of event n.
func payload(n, size int) string {
	return fmt.Sprintf("%d %d %s.", n, size, alphabet[:size])
}

// checkPublished returns the number of an event, or why it is none that was published.
func checkPublished(e event) (n int, err error) {
	var size int
	if _, err := fmt.Sscanf(e.data, "%d %d", &n, &size); err != nil || size > len(alphabet) {
		return 0, fmt.Errorf("not an event that was published: %.80q: %v", e.data, err)
	}
	if e.data != payload(n, size) || e.name != "" || e.retry != "" {
		return n, fmt.Errorf("event %d isn't as it was published: %d bytes, name %q, retry %q", n, len(e.data), e.name, e.retry)
	}
	return n, nil
}

// TestStrictClient checks the strict client itself: it has to refuse what a real client would
// ignore. Otherwise the other tests would prove little.
func TestStrictClient(t *testing.T) {
	const ours, bye = "id: 4\ndata: 1 2 ab.\n\n", "retry: 1500\nevent: shutdown\ndata: {\"retry\":1500}\n\n"
	for body, want := range map[string]string{
		"":                                   "",
		ours + bye:                           "",
		":c\n\r\ndata:1 0 .\r\r\n:c\r" + bye: "",
		"retry: 1500\n\n":                    "",
		"data: 0 29 abcdefghijklmnopqrstuvwxyz\ndata: 01.\n\ndata: 1 0 .\n\n": "",
		ours + "data: 2 0 .\n":          errPartialEvent.Error(),
		ours + "data: 2 0":              errPartialEvent.Error(),
		"data: 1 2 a\n\n":               "isn't as it was published",
		ours + ours:                     "event 1 after event 1",
		ours + "data: 3 0 .\n\n":        "event 3 after event 1",
		ours + bye + bye:                "after the farewell",
		bye + ours:                      "after the farewell",
		"id: 5\n" + bye:                 "1 ids",
		"data: a\nretry: 1\n" + bye:     "two fields",
		"retry: 1\nevent: shutdown\n\n": "the farewell's data",
		"junk\n\n":                      "begins no field",
		ours + "retry: 1500\n\n":        "not an event that was published",
	} {
		_, err := readStream(strings.NewReader(body), func() {})
		if want == "" {
			assert.NoError(t, err, "%q", body)
		} else {
			assert.ErrorContains(t, err, want, "%q", body)
		}
	}
}
