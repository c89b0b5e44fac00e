package format

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

// A Call is the Body of a remote procedure call. How the call ended is said at its end: by trailers,
// or by the last message of the body. Without that no client takes it for complete.
type Call interface {
	Body

	// Ended reports whether the end was written, by somebody else. h is the response's header, in
	// which trailers may be set.
	Ended(h http.Header) bool

	// Torn reports whether what was sent stops within a message, so that no end may follow it.
	Torn() bool

	// SetTrailers sets the trailers in h that are the farewell, or the rest of it, in place of those
	// of the handler. AppendFarewell appends nothing where they are all of it.
	SetTrailers(h http.Header, f policy.Farewell, retry time.Duration)
}

// newCall returns a Call for a response with this header and media type, or nil.
func newCall(h http.Header, mediaType string) Call {
	// A call that ended before its first message may have its status in the header.
	m := prefixed{flags: 0x01, ended: len(h["Grpc-Status"]) > 0}
	switch protocolOf(mediaType) {
	case protocolGRPC:
		return &grpc{m}
	case protocolGRPCWeb:
		m.flags, m.end = 0x01|webTrailers, webTrailers
		return &grpcWeb{m}
	case protocolConnect:
		m.flags, m.end, m.ended = 0x01|endOfStream, endOfStream, false
		return &connectStream{m}
	}
	return nil
}

// A protocol is one of remote procedure calls.
type protocol uint8

const (
	noProtocol protocol = iota
	protocolGRPC
	protocolGRPCWeb
	protocolGRPCWebText // in base64: nothing is put into its body
	protocolConnect     // with messages, for calls that stream
	protocolConnectUnary
)

// protocolOf returns the protocol of messages with this media type, in lower case.
func protocolOf(mediaType string) protocol {
	name, ok := strings.CutPrefix(mediaType, "application/")
	if !ok {
		return noProtocol
	}
	name, _, codec := strings.Cut(name, "+")
	switch {
	case name == "grpc":
		return protocolGRPC
	case name == "grpc-web":
		return protocolGRPCWeb
	case name == "grpc-web-text":
		return protocolGRPCWebText
	case name == "connect" && codec:
		return protocolConnect
	}
	return noProtocol
}

// requestProtocol returns the protocol in which r is to be answered.
func requestProtocol(r *http.Request) protocol {
	switch r.Method {
	case http.MethodGet:
		// Other URLs may have one of these parameters, but not all that a call has.
		if q := r.URL.Query(); q.Get("connect") == "v1" && q.Has("encoding") && q.Has("message") {
			return protocolConnectUnary
		}
	case http.MethodPost:
		if p := protocolOf(mediaType(r.Header)); p != noProtocol {
			return p
		}
		if r.Header.Get("Connect-Protocol-Version") == "1" {
			return protocolConnectUnary
		}
	}
	return noProtocol
}

// IsCall reports whether r is a remote procedure call.
func IsCall(r *http.Request) bool { return requestProtocol(r) != noProtocol }

// StreamsMessages reports whether r is a call that can be ended with a status before its handler has answered
// anything: one of gRPC, gRPC-Web, or of those of Connect that stream.
func StreamsMessages(r *http.Request) bool {
	switch requestProtocol(r) {
	case protocolGRPC, protocolGRPCWeb, protocolGRPCWebText, protocolConnect:
		return true
	}
	return false
}

// AnswerCall sets in h the header of a whole answer to r, which says in the protocol of r that the
// server is not available, and returns its status code and body. r must be a remote procedure call.
//
// gRPC's clients repeat a call by their policy only if its status is in the header.
func AnswerCall(r *http.Request, h http.Header, f policy.Farewell, retry time.Duration) (code int, body []byte) {
	for name := range h {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			delete(h, name) // with trailers gRPC's header would not be the end
		}
	}
	code = http.StatusOK
	contentType := r.Header.Get("Content-Type")
	switch requestProtocol(r) {
	case protocolGRPC, protocolGRPCWeb, protocolGRPCWebText:
		setStatus(h, "", f, retry)
	case protocolConnect:
		body = new(connectStream).AppendFarewell(nil, f, retry)
	case protocolConnectUnary:
		code, contentType = http.StatusServiceUnavailable, "application/json"
		h.Set("Retry-After", RetryAfter(retry))
		body, _ = json.Marshal(connectError{"unavailable", f.Reason}) // strings only
	}
	h.Set("Content-Type", contentType)
	return code, body
}

// RetryAfter returns the value of a Retry-After field: whole seconds (RFC 9110, section 10.2.3),
// rounded up, since no client should come before its slot.
func RetryAfter(slot time.Duration) string {
	return strconv.FormatInt(int64((slot+time.Second-1)/time.Second), 10)
}
