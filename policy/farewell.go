package policy

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Farewell is the last thing that a draining server sends on a stream, in the stream's own
// format. The zero Farewell is that of [ComeBack]: close code 1012 with the reason "service
// restart; retry=" and the client's slot, and the SSE event "shutdown" with {"retry":…} as its
// data.
//
// In Reason, Message and Data, "{retry}" stands for the client's own reconnect slot in whole
// milliseconds.
type Farewell struct {
	// Code is the WebSocket close code. Zero: 1012, service restart.
	Code int `json:"code,omitzero"`
	// Reason is the WebSocket close reason, at most 123 bytes of UTF-8 after expansion: a control
	// frame carries 125 bytes (RFC 6455 section 5.5), two of which are the code. It is also the
	// message of the status that ends a call of gRPC or Connect. Zero: "service restart;
	// retry={retry}".
	Reason string `json:"reason,omitzero"`
	// Message is sent before the end where the format has a place for it: on a WebSocket as a last
	// message before the close frame, in a stream of JSON lines as the last line, without its line
	// break, in a multipart body as the last part with its header, an empty line and its body.
	// Zero: none.
	Message string `json:"message,omitzero"`
	// Binary sends Message as a binary WebSocket message. Zero: as a text message, which must be
	// UTF-8.
	Binary bool `json:"binary,omitzero"`
	// Event is the name of the last SSE event, without line breaks. Zero: "shutdown".
	Event string `json:"event,omitzero"`
	// Data is the data of the last SSE event; it may have several lines. Zero: {"retry":{retry}}.
	Data string `json:"data,omitzero"`
	// Send is what of this goes into an event stream. Zero: SendAll. Other formats ignore it.
	Send Send `json:"send,omitzero"`
}

// ComeBack returns the farewell that asks clients to come back at their slots: close code 1012,
// service restart. It is the zero Farewell with its defaults filled in.
func ComeBack() Farewell {
	return Farewell{Code: 1012, Reason: "service restart; retry={retry}", Event: "shutdown", Data: `{"retry":{retry}}`}
}

// StayAway returns the farewell that tells clients not to come back: close code 1000, normal
// closure. An EventSource comes back by itself all the same, unless its page hears the event and
// closes it.
func StayAway() Farewell {
	return Farewell{Code: 1000, Reason: "closed; do not reconnect", Event: "shutdown", Data: `{"retry":null}`}
}

const maxReason = 125 - 2 // bytes; see Farewell.Reason

// Expand returns f as it is sent to the client whose reconnect slot is retry: with its defaults
// filled in and {retry} replaced by whole milliseconds, rounded down. A negative slot counts as
// zero. Expand checks nothing; see [Farewell.Validate].
func (f Farewell) Expand(retry time.Duration) Farewell {
	f = f.over(ComeBack())
	ms := strconv.FormatInt(max(0, retry.Milliseconds()), 10)
	f.Reason = strings.ReplaceAll(f.Reason, "{retry}", ms)
	f.Message = strings.ReplaceAll(f.Message, "{retry}", ms)
	f.Data = strings.ReplaceAll(f.Data, "{retry}", ms)
	return f
}

// Validate returns all that keeps f from being sent as one error, or nil: a close code that RFC
// 6455 section 7.4 doesn't allow in a frame, a reason that is too long for its frame, text that is
// not UTF-8, an event name with a line break, an unknown Send. It assumes the zero Window for the
// length of {retry}; [Rule.Validate] uses the rule's own.
func (f Farewell) Validate() error { return joinFaults("policy: ", f.faults(Window{})) }

// over returns f with its zero fields taken from base.
func (f Farewell) over(base Farewell) Farewell {
	return Farewell{
		Code:    cmp.Or(f.Code, base.Code),
		Reason:  cmp.Or(f.Reason, base.Reason),
		Message: cmp.Or(f.Message, base.Message),
		Binary:  f.Binary || f.Message == "" && base.Binary, // Binary belongs to Message
		Event:   cmp.Or(f.Event, base.Event),
		Data:    cmp.Or(f.Data, base.Data),
		Send:    cmp.Or(f.Send, base.Send),
	}
}

func (f Farewell) faults(w Window) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }

	// As long as it can get: no slot of w has more digits than Max.
	f = f.Expand(w.orDefault().Max)
	if section := forbiddenBy(f.Code); section != "" {
		fault("close code %d may not be sent (RFC 6455 %s); use 1000-1003, 1007-1014 or 3000-4999", f.Code, section)
	}
	if over := len(f.Reason) - maxReason; over > 0 {
		fault("close reason %.20q… can grow to %d bytes, %d is the most (RFC 6455 5.5); shorten it by %d",
			f.Reason, len(f.Reason), maxReason, over)
	}
	if strings.ContainsAny(f.Event, "\r\n\x00") {
		fault("event name %q has a line break or a NUL, which ends or spoils its field; take it out", f.Event)
	}
	faults = append(faults, sends.faults(f.Send)...)
	if f.Binary {
		f.Message = "" // it may be anything
	}
	for _, text := range []struct{ name, value string }{
		{"close reason", f.Reason}, {"message", f.Message}, {"event name", f.Event}, {"data", f.Data},
	} {
		if !utf8.ValidString(text.value) {
			fault("%s %.40q is not valid UTF-8; encode it", text.name, text.value)
		}
	}
	return faults
}

// forbiddenBy returns the section of RFC 6455 that keeps code out of a close frame, or "". Codes
// 1012 to 1014 were registered later, in the registry that section 11.7 set up.
func forbiddenBy(code int) (section string) {
	switch {
	case code == 1004, code == 1005, code == 1006, code == 1015:
		return "7.4.1"
	case 1000 <= code && code <= 1014, 3000 <= code && code <= 4999:
		return ""
	default:
		return "7.4.2"
	}
}
