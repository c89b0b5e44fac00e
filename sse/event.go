package sse

import (
	"strconv"
	"strings"
	"time"
)

// An Event is one event to be put into a stream. The zero Event is none: Append adds nothing for
// it.
//
// It can't carry an id. That would become the client's Last-Event-ID, and the stream's own ids
// would be lost on resume.
type Event struct {
	// Retry is the reconnection time that the client is asked to keep to from now on, in whole
	// milliseconds (less than one is sent as one). Zero or less: no retry field. Clients keep it
	// without any event listener.
	Retry time.Duration
	// Name is the event's type, what a client's addEventListener takes. Empty: "message". CR, LF
	// and NUL in it are left out.
	Name string
	// Data is what the event says. Each of its lines (ended by CR, LF or CRLF) is sent as one data
	// line, and the client sees LF between them. It should be UTF-8: clients replace what is not.
	Data string
}

// Append adds e to b as it goes over the wire and returns the longer slice: retry, event and data
// lines and the blank line that dispatches them. An event with a name but no data has an empty data
// line, for without one no client would dispatch it (WHATWG HTML 9.2.6).
func (e Event) Append(b []byte) []byte {
	start := len(b)
	if e.Retry > 0 {
		b = append(b, "retry: "...)
		b = strconv.AppendInt(b, max(1, e.Retry.Milliseconds()), 10)
		b = append(b, '\n')
	}
	named := len(b)
	b = appendName(b, e.Name)
	if len(b) > named || e.Data != "" {
		b = appendData(b, e.Data)
	}
	if len(b) > start {
		b = append(b, '\n')
	}
	return b
}

func appendName(b []byte, name string) []byte {
	start := len(b)
	b = append(b, "event: "...)
	empty := len(b)
	for i := range len(name) {
		switch c := name[i]; c {
		case '\r', '\n', 0:
		default:
			b = append(b, c)
		}
	}
	if len(b) == empty {
		return b[:start]
	}
	return append(b, '\n')
}

func appendData(b []byte, data string) []byte {
	for {
		end := strings.IndexAny(data, "\r\n")
		b = append(b, "data: "...)
		if end < 0 {
			b = append(b, data...)
			return append(b, '\n')
		}
		b = append(b, data[:end]...)
		b = append(b, '\n')
		if strings.HasPrefix(data[end:], "\r\n") {
			end++
		}
		data = data[end+1:]
	}
}
