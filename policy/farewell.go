package policy

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Farewell is what a stream is told, in its own protocol. The zero Farewell is close code 1012 with the reason
// "service restart; retry=" and the client's slot, and the SSE event "shutdown" with {"retry":…} as its data.
//
// In Reason, Message and Data, "{retry}" stands for the client's own reconnect slot in whole milliseconds.
type Farewell struct {
	// Code is the WebSocket close code; zero: 1012, service restart.
	Code int
	// Reason is the WebSocket close reason, at most 123 bytes of UTF-8 after expansion (RFC 6455 section 5.5: a control
	// frame carries 125 bytes, two of which are the code); zero: "service restart; retry={retry}".
	Reason string
	// Message is what goes out in-band before the end, where the protocol has a place for it; zero: none. For a
	// WebSocket it is a last message before the close frame, for a stream of JSON lines the last line, without its line
	// break, and for multipart/x-mixed-replace the last part: its header, an empty line, its body.
	Message string
	// Binary makes the WebSocket message a binary one; zero: text, which must be UTF-8.
	Binary bool
	// Event is the name of the last SSE event, without line breaks; zero: "shutdown".
	Event string
	// Data is the data of the last SSE event, of any number of lines; zero: {"retry":{retry}}.
	Data string
}

// ComeBack returns the farewell that asks clients to come back at their slots: close code 1012,
// service restart. It is the zero Farewell with its defaults filled in.
func ComeBack() Farewell {
	return Farewell{Code: 1012, Reason: "service restart; retry={retry}", Event: "shutdown", Data: `{"retry":{retry}}`}
}

// StayAway returns the farewell that tells clients not to come back: close code 1000, normal closure.
// An EventSource comes back by itself all the same, unless its page hears the event and closes it.
func StayAway() Farewell {
	return Farewell{Code: 1000, Reason: "closed; do not reconnect", Event: "shutdown", Data: `{"retry":null}`}
}

const maxReason = 125 - 2

// Expand returns f as it is sent to the client whose reconnect slot is retry: with its defaults filled in and {retry}
// replaced, in whole milliseconds, rounded down. It checks nothing; see [Farewell.Validate].
func (f Farewell) Expand(retry time.Duration) Farewell {
	f = f.over(ComeBack())
	ms := strconv.FormatInt(max(0, retry.Milliseconds()), 10)
	f.Reason = strings.ReplaceAll(f.Reason, "{retry}", ms)
	f.Message = strings.ReplaceAll(f.Message, "{retry}", ms)
	f.Data = strings.ReplaceAll(f.Data, "{retry}", ms)
	return f
}

// Validate reports all that keeps f from being sent as it stands, joined: a close code that RFC 6455 section 7.4 keeps
// off the wire, a reason that outgrows its frame, text that is not UTF-8, an event name that breaks its line. It takes
// {retry} to be as long as the zero Window can make it; [Rule.Validate] knows the rule's own.
func (f Farewell) Validate() error {
	return joined("policy: ", f.faults(Window{}))
}

func (f Farewell) over(base Farewell) Farewell {
	return Farewell{
		Code:    cmp.Or(f.Code, base.Code),
		Reason:  cmp.Or(f.Reason, base.Reason),
		Message: cmp.Or(f.Message, base.Message),
		Binary:  f.Binary || f.Message == "" && base.Binary, // it goes with its message
		Event:   cmp.Or(f.Event, base.Event),
		Data:    cmp.Or(f.Data, base.Data),
	}
}

func (f Farewell) faults(w Window) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }

	// No slot of w is written longer than its end.
	f = f.Expand(w.orDefault().Max)
	if section := unsendable(f.Code); section != "" {
		fault("close code %d may not be sent (RFC 6455 %s); use 1000-1003, 1007-1014 or 3000-4999", f.Code, section)
	}
	if over := len(f.Reason) - maxReason; over > 0 {
		fault("close reason %.20q… can grow to %d bytes, %d is the most (RFC 6455 5.5); shorten it by %d",
			f.Reason, len(f.Reason), maxReason, over)
	}
	if strings.ContainsAny(f.Event, "\r\n\x00") {
		fault("event name %q has a line break or a NUL, which ends or spoils its field; take it out", f.Event)
	}
	for _, text := range []struct{ name, value string }{
		{"close reason", f.Reason}, {"message", f.Message}, {"event name", f.Event}, {"data", f.Data},
	} {
		if text.name == "message" && f.Binary {
			continue
		}
		if !utf8.ValidString(text.value) {
			fault("%s %.40q is not valid UTF-8; encode it", text.name, text.value)
		}
	}
	return faults
}

// unsendable returns the section of RFC 6455 that keeps code out of a close frame, or "". 1012 to 1014 came later,
// through the registry that section 11.7 set up.
func unsendable(code int) (section string) {
	switch {
	case code == 1004, code == 1005, code == 1006, code == 1015:
		return "7.4.1"
	case 1000 <= code && code <= 1014, 3000 <= code && code <= 4999:
		return ""
	default:
		return "7.4.2"
	}
}
