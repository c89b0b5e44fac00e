package sse

import (
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
)

// An Event is one event of a stream. Append adds nothing for the zero Event.
//
// It has no id: that would become the client's Last-Event-ID in place of the stream's own.
type Event struct {
	// Retry is the reconnection time that the client keeps to from now on, also without any event
	// listener. It is sent in whole milliseconds, and as 1 if it is shorter. Zero or less means no
	// retry field.
	Retry time.Duration
	// Name is the event's type, which a client's addEventListener takes. Empty means "message". CR,
	// LF and NUL in it are left out.
	Name string
	// Data is what the event says. Each of its lines (ended by CR, LF or CRLF) is sent as one data
	// line, and the client sees LF between them. It should be UTF-8: clients replace what is not.
	Data string
}

// Append adds e to b as it goes over the wire and returns the longer slice: retry, event and data
// lines, and the blank line that dispatches them. An event with a name but no data gets an empty
// data line, without which no client dispatches it (WHATWG HTML 9.2.6).
func (e Event) Append(b []byte) []byte {
	return format.AppendEvent(b, e.Retry, e.Name, e.Data)
}
