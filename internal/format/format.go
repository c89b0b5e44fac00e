// Package format recognizes the format of a response, follows the bytes that a handler writes to
// it, and tells where a farewell may be inserted and what its bytes are. It does no I/O. Each
// format has a file of its own.
//
// A boundary is a place between two bytes where a farewell may be inserted.
package format

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

// The formats as reports and logs name them, and package stream to users.
const (
	HTTP      = "http" // a body into which no farewell can be inserted
	SSE       = "sse"
	Lines     = "lines"
	Parts     = "parts"
	GRPC      = "grpc"    // and gRPC-Web
	Connect   = "connect" // its streaming calls; its unary ones are plain HTTP
	WebSocket = "websocket"
	Hijacked  = "hijacked" // a connection whose protocol is unknown
	Task      = "task"     // no response, but work that a handler left behind
)

// A Body follows the bytes of one response body as they are sent. It is not safe for concurrent
// use.
type Body interface {
	// Write follows p, which was sent. It takes all of p and never fails.
	io.Writer

	// Name returns the format's name in reports, one of the constants of this package.
	Name() string

	// AtBoundary reports whether what was sent so far ends at a boundary. It returns false where
	// only the next bytes can tell: see Boundary.
	AtBoundary() bool

	// Boundary returns how many bytes of p, which come next, to send before the farewell: 0 if it
	// may be sent before p, and -1 if p has no boundary. Unlike AtBoundary it sees the bytes after
	// the place, which parts need. It leaves the Body as it is.
	Boundary(p []byte) int

	// Torn reports whether an end after what was sent so far would leave a part of a message that
	// a client could take for a whole one, or a message without the end that its protocol needs.
	Torn() bool

	// AppendFarewell appends to b the last bytes of the body, which are to be sent at a boundary,
	// and returns the longer slice. f has been expanded for the client whose reconnect slot is
	// retry. It appends nothing if the format can express nothing of f.
	AppendFarewell(b []byte, f policy.Farewell, retry time.Duration) []byte
}

// Recognize looks at a response's header for the format of its body. Of several Content-Types the
// first counts, as for clients.
//
// known reports whether the media type is that of a Body. endless reports whether an answer to a
// GET in this format goes on until somebody ends it. body is nil if no farewell can be inserted:
// the format isn't known, the body has a Content-Encoding, or the header lacks what a Body needs.
func Recognize(h http.Header) (body Body, known, endless bool) {
	contentTypes := h["Content-Type"]
	if len(contentTypes) == 0 {
		return nil, false, false
	}
	contentType := contentTypes[0]
	known = true
	switch media := mediaType(contentType); media {
	case "text/event-stream":
		body, endless = new(eventStream), true
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/stream+json":
		body = new(lines)
	case "multipart/x-mixed-replace":
		body, endless = newParts(contentType), true
	case "multipart/mixed":
		body = newParts(contentType)
	default:
		body = newCall(h, protocolOf(media))
		known = body != nil
	}
	if known && Encoded(h) {
		body = nil
	}
	return body, known, endless
}

// NewBody returns a Body of the format that a rule gives, which must not be [policy.AutoFormat],
// for a response with this header. It is nil if no farewell can be inserted.
func NewBody(f policy.Format, h http.Header) Body {
	if Encoded(h) {
		return nil
	}
	switch f {
	case policy.EventsFormat:
		return new(eventStream)
	case policy.LinesFormat:
		return new(lines)
	case policy.PartsFormat:
		return newParts(h.Get("Content-Type"))
	}
	return nil
}

// mediaType returns the media type in a Content-Type, in lower case and without parameters.
func mediaType(contentType string) string {
	name, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(name))
}

// Encoded reports whether h has a Content-Encoding other than identity (RFC 9110, section 8.4).
func Encoded(h http.Header) bool {
	for _, coding := range h["Content-Encoding"] {
		if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
			return true
		}
	}
	return false
}

// RetryAfter returns the value of a Retry-After field: whole seconds (RFC 9110, section 10.2.3),
// rounded up, since no client should come before its slot.
func RetryAfter(slot time.Duration) string {
	return strconv.FormatInt(int64((slot+time.Second-1)/time.Second), 10)
}
