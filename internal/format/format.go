// Package format knows what the bodies of streams look like on the wire: how a format is
// recognized, where in its bytes a farewell can stand, and how the farewell is written. Each format
// has a file of its own.
//
// It follows bytes that somebody else writes, and does no I/O.
package format

import (
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

// The formats as reports and logs name them.
const (
	HTTP      = "http" // a body into which nothing can be put
	SSE       = "sse"
	Lines     = "lines"
	Parts     = "parts"
	WebSocket = "websocket"
	Hijacked  = "hijacked" // a connection that carries something unknown
)

// A Body follows the bytes of one response body as they go out, and knows where its farewell can
// stand. It is not safe for concurrent use.
type Body interface {
	// Write follows bytes that have gone out. It takes all of them and never fails.
	io.Writer

	// Name returns the format's name in reports, one of the constants of this package.
	Name() string

	// AtBoundary reports whether a farewell may be put in here.
	AtBoundary() bool

	// Boundary returns the length of the shortest prefix of p after which AtBoundary holds, 0 if it
	// holds now, and -1 if it doesn't come to hold in p. It follows nothing.
	Boundary(p []byte) int

	// AppendFarewell appends to b what is to be written at a boundary, as the last bytes of the
	// body, and returns the longer slice. f has been expanded for the client whose reconnect slot
	// is retry. Nothing is appended where the format has no place for what f says.
	AppendFarewell(b []byte, f policy.Farewell, retry time.Duration) []byte
}

// recognizers has one function per format, in that format's file. It is given the media type in
// lower case, and returns a new Body, nil if none can be made of this header, and whether the
// response is of its format.
var recognizers = []func(mediaType string, h http.Header) (body Body, recognized bool){
	recognizeEventStream,
	recognizeLines,
	recognizeParts,
}

// Recognize returns a Body for a response with this header, and whether its media type is that of a
// body that goes on until somebody ends it. The Body is nil where nothing can be put into the
// response: its format is unknown, its Content-Encoding hides it, or the header says too little of
// it. Of several Content-Types the first counts, as for clients.
func Recognize(h http.Header) (body Body, infinite bool) {
	contentTypes := h["Content-Type"]
	if len(contentTypes) == 0 {
		return nil, false
	}
	mediaType, _, _ := strings.Cut(contentTypes[0], ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	for _, recognize := range recognizers {
		body, recognized := recognize(mediaType, h)
		if recognized && Encoded(h) {
			return nil, true
		}
		if recognized {
			return body, true
		}
	}
	return nil, false
}

// Encoded reports whether a Content-Encoding other than identity hides the bytes of a response with
// this header (RFC 9110, section 8.4).
func Encoded(h http.Header) bool {
	for _, coding := range h["Content-Encoding"] {
		if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
			return true
		}
	}
	return false
}
