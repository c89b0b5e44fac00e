package format

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

// A Call is the Body of a remote procedure call, which ends with a status: in trailers, or in the
// last message of the body. Without a status no client takes the call for complete.
type Call interface {
	Body

	// Ended reports whether the handler has written the whole body and its status. h is the
	// response's header, in which trailers may be set.
	Ended(h http.Header) bool

	// SetTrailers sets in h what the farewell has in trailers, in place of the handler's own
	// status. It does nothing where AppendFarewell has appended all of the farewell.
	SetTrailers(h http.Header, f policy.Farewell, retry time.Duration)
}

// newCall returns a Call for a response with this header in protocol p, or nil where nothing can be
// inserted into its body.
func newCall(h http.Header, p protocol) Call {
	switch p {
	case grpcProtocol:
		return &grpc{messageBody{ended: endedInHeader(h)}}
	case grpcWebProtocol:
		return &grpcWeb{messageBody{endFlag: webTrailers, ended: endedInHeader(h)}}
	case connectProtocol:
		return &connectStream{messageBody{endFlag: endOfStream}}
	}
	return nil
}

// endedInHeader reports whether the status of a call of gRPC or gRPC-Web is in the header, as it
// may be if the call ended before its first message.
func endedInHeader(h http.Header) bool { return len(h["Grpc-Status"]) > 0 }

// A protocol of remote procedure calls.
type protocol uint8

const (
	noProtocol protocol = iota
	grpcProtocol
	grpcWebProtocol
	grpcWebTextProtocol  // gRPC-Web in base64: nothing is put into its body
	connectProtocol      // Connect's streaming calls
	connectUnaryProtocol // Connect's unary calls, which are plain HTTP
)

// protocolOf returns the protocol of a body of this media type, in lower case. The media type of a
// unary call of Connect doesn't show its protocol.
func protocolOf(mediaType string) protocol {
	name, ok := strings.CutPrefix(mediaType, "application/")
	if !ok {
		return noProtocol
	}
	name, _, hasCodec := strings.Cut(name, "+")
	switch {
	case name == "grpc":
		return grpcProtocol
	case name == "grpc-web":
		return grpcWebProtocol
	case name == "grpc-web-text":
		return grpcWebTextProtocol
	case name == "connect" && hasCodec:
		return connectProtocol
	}
	return noProtocol
}

// requestProtocol returns the protocol in which r is to be answered.
func requestProtocol(r *http.Request) protocol {
	switch r.Method {
	case http.MethodGet:
		// Other URLs may have one of these parameters, but not all that a call has.
		if q := r.URL.Query(); q.Get("connect") == "v1" && q.Has("encoding") && q.Has("message") {
			return connectUnaryProtocol
		}
	case http.MethodPost:
		if p := protocolOf(mediaType(r.Header.Get("Content-Type"))); p != noProtocol {
			return p
		}
		if r.Header.Get("Connect-Protocol-Version") == "1" {
			return connectUnaryProtocol
		}
	}
	return noProtocol
}

// IsCall reports whether r is a remote procedure call: of gRPC, gRPC-Web or Connect.
func IsCall(r *http.Request) bool { return requestProtocol(r) != noProtocol }

// EndsWithStatus reports whether r is a remote procedure call whose answer ends with a status, and
// may consist of that alone. The answers to Connect's unary calls are plain HTTP.
func EndsWithStatus(r *http.Request) bool {
	p := requestProtocol(r)
	return p != noProtocol && p != connectUnaryProtocol
}

// AnswerUnavailable makes a whole answer to r, which must be a remote procedure call, that says in
// its protocol that the server isn't available. It sets the answer's header in h, and returns its
// status code and body.
func AnswerUnavailable(r *http.Request, h http.Header, f policy.Farewell, retry time.Duration) (code int, body []byte) {
	// gRPC's clients repeat a call by their policy only if the answer ends with its header, and the
	// status is there. So there must be no trailers.
	for name := range h {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			delete(h, name)
		}
	}
	code = http.StatusOK
	contentType := r.Header.Get("Content-Type")
	switch requestProtocol(r) {
	case grpcProtocol, grpcWebProtocol, grpcWebTextProtocol:
		setStatus(h, "", f, retry)
	case connectProtocol:
		body = new(connectStream).AppendFarewell(nil, f, retry)
	case connectUnaryProtocol:
		code, contentType = http.StatusServiceUnavailable, "application/json"
		h.Set("Retry-After", RetryAfter(retry))
		body, _ = json.Marshal(connectError{"unavailable", f.Reason}) // strings only
	}
	h.Set("Content-Type", contentType)
	return code, body
}
