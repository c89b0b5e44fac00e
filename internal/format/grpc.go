package format

import (
	"encoding/binary"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

// A messageBody follows a body of messages that each have a prefix of five bytes: one of flags, and
// four with the length of the rest. gRPC calls them length-prefixed messages (gRPC over HTTP2),
// Connect enveloped messages. The boundaries are between them. After a flag that the protocol
// doesn't know there is no boundary any more.
type messageBody struct {
	endFlag byte // of the message that ends the body; zero: trailers end it

	prefix    [5]byte // of the current message
	prefixLen uint8   // how many bytes of prefix were sent
	left      uint32  // after a whole prefix: how many bytes of the message are still to come
	ended     bool    // the body's end was sent
	invalid   bool    // the bytes are not of the protocol
}

// compressed is the flag of a compressed message, in all of the protocols.
const compressed = 0x01

func (m *messageBody) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		rest = rest[m.writeSome(rest):]
	}
	return len(p), nil
}

// writeSome follows p up to the next boundary, or all of it, and returns how many bytes that is.
func (m *messageBody) writeSome(p []byte) (n int) {
	if m.ended || m.invalid {
		m.invalid = true // nothing may follow the end
		return len(p)
	}
	if m.prefixLen < uint8(len(m.prefix)) {
		n = copy(m.prefix[m.prefixLen:], p)
		if m.prefixLen += uint8(n); m.prefixLen < uint8(len(m.prefix)) {
			return n
		}
		m.invalid = m.prefix[0]&^(compressed|m.endFlag) != 0 // a protocol has no other flags
		m.left = binary.BigEndian.Uint32(m.prefix[1:])
	}
	taken := min(uint64(len(p)-n), uint64(m.left))
	m.left -= uint32(taken)
	if m.left == 0 && !m.invalid {
		m.prefixLen = 0
		m.ended = m.prefix[0]&m.endFlag != 0
	}
	return n + int(taken)
}

func (m *messageBody) AtBoundary() bool { return m.prefixLen == 0 && !m.ended && !m.invalid }

func (m *messageBody) Boundary(p []byte) int {
	if m.AtBoundary() {
		return 0
	}
	ahead := *m
	if n := ahead.writeSome(p); ahead.AtBoundary() {
		return n
	}
	return -1
}

// Torn implements [Body].
func (m *messageBody) Torn() bool { return m.prefixLen != 0 || m.invalid }

// Ended and SetTrailers implement [Call] for a protocol that has the status in the last message.

func (m *messageBody) Ended(http.Header) bool { return m.ended && !m.Torn() }

func (*messageBody) SetTrailers(http.Header, policy.Farewell, time.Duration) {}

// appendMessage appends a message with this flag.
func appendMessage(b []byte, flag byte, text []byte) []byte {
	b = binary.BigEndian.AppendUint32(append(b, flag), uint32(len(text)))
	return append(b, text...)
}

// grpc is a body of gRPC (gRPC over HTTP2), whose status is in trailers.
type grpc struct{ messageBody }

func (*grpc) Name() string { return GRPC }

func (*grpc) AppendFarewell(b []byte, _ policy.Farewell, _ time.Duration) []byte { return b }

func (c *grpc) Ended(h http.Header) bool { return HasGRPCStatus(h) && !c.Torn() }

func (*grpc) SetTrailers(h http.Header, f policy.Farewell, retry time.Duration) {
	setStatus(h, http.TrailerPrefix, f, retry)
}

// grpcWeb is a body of gRPC-Web (gRPC's PROTOCOL-WEB.md), whose status is in its last message.
type grpcWeb struct{ messageBody }

// webTrailers is the flag of the message with gRPC-Web's status.
const webTrailers = 0x80

func (*grpcWeb) Name() string { return GRPC }

func (c *grpcWeb) AppendFarewell(b []byte, f policy.Farewell, retry time.Duration) []byte {
	h := make(http.Header)
	setStatus(h, "", f, retry)
	var text []byte
	for _, name := range statusFields {
		if value := h.Get(name); value != "" {
			text = append(text, strings.ToLower(name)+": "+value+"\r\n"...)
		}
	}
	return appendMessage(b, webTrailers, text)
}

const grpcUnavailable = "14" // the status code UNAVAILABLE

// statusFields are the header fields of a status, in the order in which they are sent.
var statusFields = []string{"Grpc-Status", "Grpc-Message", "Grpc-Retry-Pushback-Ms", "Grpc-Status-Details-Bin"}

// HasGRPCStatus reports whether h has a status of gRPC, as a header field or as a trailer.
func HasGRPCStatus(h http.Header) bool {
	return len(h["Grpc-Status"]) > 0 || len(h[http.TrailerPrefix+"Grpc-Status"]) > 0
}

// setStatus sets in h, in place of any status that it has, that the server isn't available: f's
// reason, and when to try again (gRPC proposal A6). prefix is put before the names of the fields:
// the empty string for header fields, [http.TrailerPrefix] for trailers.
func setStatus(h http.Header, prefix string, f policy.Farewell, retry time.Duration) {
	for _, name := range statusFields {
		delete(h, name)
		delete(h, http.TrailerPrefix+name)
	}
	h[prefix+"Grpc-Status"] = []string{grpcUnavailable}
	h[prefix+"Grpc-Message"] = []string{percentEncode(f.Reason)}
	h[prefix+"Grpc-Retry-Pushback-Ms"] = []string{pushback(f, retry)}
}

// pushback returns the value of a Grpc-Retry-Pushback-Ms field, which Connect's calls have as well:
// in how many milliseconds to try again. A negative number means never.
func pushback(f policy.Farewell, retry time.Duration) string {
	if f.Code == policy.StayAway().Code {
		return "-1"
	}
	return strconv.FormatInt(max(0, retry.Milliseconds()), 10)
}

// percentEncode encodes a Grpc-Message: all but printable ASCII, and the percent sign.
func percentEncode(s string) string {
	const hex = "0123456789ABCDEF"
	var b []byte
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '%' {
			b = append(b, '%', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}
