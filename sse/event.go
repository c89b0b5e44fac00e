package sse

import (
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
)

// An Event is one event of a stream. It has no id: that would become what the client sends as its
// Last-Event-ID when it comes back.
type Event struct {
	// Retry is the client's reconnection time from now on. It is sent in whole milliseconds, at
	// least 1. Zero or less: it isn't sent.
	Retry time.Duration
	// Name is the event's type, which a client's addEventListener takes. Empty: "message". CR, LF
	// and NUL in it are left out.
	Name string
	// Data may have several lines, ended by CR, LF or CRLF; the client gets LF between them. It
	// should be UTF-8: clients replace what is not.
	Data string
}

// Append appends e to b as it is sent, and returns the longer slice: the retry, event and data
// lines and a blank line, or nothing for the zero Event. An event with a name but no data gets an
// empty data line, without which no client dispatches it (WHATWG HTML 9.2.6).
func (e Event) Append(b []byte) []byte {
	return format.AppendEvent(b, e.Retry, e.Name, e.Data)
}
