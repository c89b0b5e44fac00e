package sse

import (
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
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
	return format.AppendEvent(b, e.Retry, e.Name, e.Data)
}
