package format

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// What a client makes of an event stream, straight from WHATWG HTML 9.2.6 and over the whole text
// at once. It shares nothing with eventStream, not even the way it finds lines.
type eventClient struct {
	events []received
	lastID string
	retry  string // as it came, leading zeros and all; empty: never set
}

type received struct{ name, data, id string }

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

func readEvents(stream string) eventClient {
	var c eventClient
	var name, data string
	text := lineEnds.Replace(strings.TrimPrefix(stream, "\uFEFF"))
	lines := strings.Split(text, "\n")
	for _, line := range lines[:len(lines)-1] { // what no line end follows is discarded
		if line == "" {
			if data != "" {
				if name == "" {
					name = "message"
				}
				c.events = append(c.events, received{name, strings.TrimSuffix(data, "\n"), c.lastID})
			}
			name, data = "", ""
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			name = value
		case "data":
			data += value + "\n"
		case "id":
			if !strings.Contains(value, "\x00") {
				c.lastID = value
			}
		case "retry":
			if value != "" && strings.Trim(value, "0123456789") == "" {
				c.retry = value
			}
		}
	}
	return c
}

func (c eventClient) retryMillis() int64 {
	n, err := strconv.ParseInt(c.retry, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// isBoundary is what AtBoundary promises, judged over the whole text so far.
func isBoundary(stream string) bool {
	if !looksLikeStream(stream) || !speaksEvents(stream) {
		return false
	}
	text := lineEnds.Replace(strings.TrimPrefix(stream, "\uFEFF"))
	if text != "" && !strings.HasSuffix(text, "\n") {
		return false
	}
	unfinished := text
	if i := strings.LastIndex("\n"+text, "\n\n"); i >= 0 {
		unfinished = text[i+1:]
	}
	for line := range strings.Lines(unfinished) {
		if !strings.HasPrefix(line, ":") {
			return false
		}
	}
	return true
}

// speaksEvents reports whether a line is a field or a comment, or none has anything.
func speaksEvents(stream string) bool {
	empty := true
	for line := range strings.SplitSeq(lineEnds.Replace(strings.TrimPrefix(stream, "\uFEFF")), "\n") {
		field, _, _ := strings.Cut(line, ":")
		switch {
		case strings.HasPrefix(line, ":"), field == "data", field == "event", field == "id", field == "retry":
			return true
		}
		empty = empty && line == ""
	}
	return empty
}

func looksLikeStream(stream string) bool {
	for _, c := range []byte(stream) {
		if c < ' ' && !strings.Contains("\t\n\f\r\x1b", string(rune(c))) {
			return false
		}
	}
	end := strings.IndexAny(stream, ":\r\n")
	return end < 0 || utf8.ValidString(stream[:end])
}
