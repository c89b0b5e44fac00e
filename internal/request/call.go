package request

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// A Protocol is one of remote procedure calls. What is here is what a client of it knows, written
// from its specification and without internal/format, which is under test.
type Protocol string

const (
	NoCall       Protocol = ""
	GRPC         Protocol = "gRPC"          // gRPC over HTTP2
	GRPCWeb      Protocol = "gRPC-Web"      // gRPC's PROTOCOL-WEB.md
	Connect      Protocol = "Connect"       // its streaming calls
	ConnectUnary Protocol = "unary Connect" // whose messages are plain bodies
)

// ProtocolOf returns the protocol of a request, which its header fields show, or the query of a
// Connect call over GET.
func ProtocolOf(r *http.Request) Protocol {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	kind, _, _ = strings.Cut(kind, "+")
	switch query := r.URL.Query(); {
	case kind == "application/grpc":
		return GRPC
	case kind == "application/grpc-web":
		return GRPCWeb
	case kind == "application/connect":
		return Connect
	case r.Header.Get("Connect-Protocol-Version") != "", query.Get("connect") == "v1" && query.Has("encoding"):
		return ConnectUnary
	}
	return NoCall
}

// Call returns r with its body as its protocol writes it, and the protocol. The lines of r.Body are
// the messages: JSON where the content type says so, and hexadecimal digits otherwise; no body is
// one empty message. Unary JSON stays as it is, and so does what is no call.
func (r Request) Call() (Request, Protocol, error) {
	p := ProtocolOf(r.HTTP("http://host"))
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	isJSON := strings.HasSuffix(kind, "json")
	if p == NoCall || r.Method != http.MethodPost || p == ConnectUnary && isJSON {
		return r, p, nil
	}
	var body []byte
	for line := range strings.SplitSeq(strings.TrimSuffix(r.Body, "\n"), "\n") {
		message := []byte(line)
		var err error
		switch {
		case !isJSON:
			message, err = hex.DecodeString(strings.Join(strings.Fields(line), ""))
		case len(strings.TrimSpace(line)) == 0:
			message = []byte("{}")
		}
		if err != nil {
			return r, p, fmt.Errorf("%q is no message of a call: write hexadecimal digits, or JSON with a content type of it: %w", line, err)
		}
		if p != ConnectUnary {
			body = binary.BigEndian.AppendUint32(append(body, 0), uint32(len(message)))
		}
		body = append(body, message...)
	}
	r.Body, r.Header = string(body), r.Header.Clone()
	if p == GRPC {
		r.Header.Set("Te", "trailers")
	}
	return r, p, nil
}

// An Answer is what the client of a call has received, and how it ended: with Err nil, cleanly.
type Answer struct {
	Status          int // zero: it got none
	Header, Trailer http.Header
	Body            string
	Err             error
}

// An End is what an answer is to the client of a call.
type End struct {
	Messages []string // the whole ones
	Torn     bool     // the body ends within a message, or has something behind its end
	Retry    string   // when to come back, as it says that
	Status   string   // "ok", a code of Connect, or what a gRPC status or an HTTP one is; empty: it has none
}

// IsPartOf reports whether e has the beginning of the whole one's messages, or, where these aren't
// the same each time, fewer of them, or none, where as many isn't either.
func (e End) IsPartOf(whole End, same, asMany bool) bool {
	n := len(e.Messages)
	return n < len(whole.Messages) && (!same || slices.Equal(e.Messages, whole.Messages[:n])) && (asMany || n == 0)
}

// The statuses that matter here.
const (
	OK          = "ok"
	Unavailable = "unavailable" // the client may repeat the call
)

// End returns what a is to a client of p: nothing to NoCall's.
func (p Protocol) End(a Answer) (e End) {
	kind, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	kind, _, _ = strings.Cut(kind, "+")
	var failure connectError
	e.Retry = a.Header.Get("Retry-After")
	switch {
	case p == NoCall || a.Status == 0:
	case p == ConnectUnary && a.Status == http.StatusOK:
		if e.Messages = []string{a.Body}; a.Err == nil {
			e.Status = OK
		}
	case p == ConnectUnary && a.Err == nil && kind == "application/json" && json.Unmarshal([]byte(a.Body), &failure) == nil && failure.Code != "":
		e.Status = failure.Code
	case a.Status != http.StatusOK || kind != contentTypes[p]:
		e.Status = fmt.Sprintf("HTTP status %d with content type %q", a.Status, a.Header.Get("Content-Type"))
		switch a.Status { // gRPC's http-grpc-status-mapping.md, and Connect's the same
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			e.Status = Unavailable
		}
	default:
		p.readMessages(a, &e)
	}
	return e
}

var contentTypes = map[Protocol]string{GRPC: "application/grpc", GRPCWeb: "application/grpc-web", Connect: "application/connect"}

// endFlags are the flags of the message that ends a body.
var endFlags = map[Protocol]byte{GRPCWeb: 0x80, Connect: 0x02}

// readMessages reads a body of messages, each behind a byte of flags and four of its length.
func (p Protocol) readMessages(a Answer, e *End) {
	const compressed = 1
	last := endFlags[p]
	for body := []byte(a.Body); len(body) > 0; {
		if len(body) < 5 || body[0]&^(compressed|last) != 0 || e.Status != "" {
			e.Torn = true
			return
		}
		size := uint64(binary.BigEndian.Uint32(body[1:]))
		if uint64(len(body)) < 5+size {
			e.Torn = true
			return
		}
		flags, message := body[0], body[5:5+size]
		body = body[5+size:]
		switch {
		case flags&last == 0:
			e.Messages = append(e.Messages, string(message))
		case p == Connect:
			e.readConnect(message)
		default:
			e.readFields(fieldsOf(string(message)))
		}
	}
	if a.Err == nil && e.Status == "" && p != Connect {
		if e.readFields(a.Header); a.Body != "" || e.Status == "" {
			e.readFields(a.Trailer)
		}
	}
}

// fieldsOf reads header fields as HTTP/1.1 writes them.
func fieldsOf(text string) http.Header {
	h := http.Header{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		h.Add(name, strings.TrimSpace(value))
	}
	return h
}

// readFields reads the status in header fields or trailers of gRPC.
func (e *End) readFields(h http.Header) {
	e.Retry = pushback(h.Get("Grpc-Retry-Pushback-Ms"))
	switch code := h.Get("Grpc-Status"); code {
	case "":
		e.Status = ""
	case "0":
		e.Status = OK
	case "14":
		e.Status = Unavailable
	default:
		e.Status = strings.TrimSuffix("grpc-status "+code+": "+h.Get("Grpc-Message"), ": ")
	}
}

// pushback returns the milliseconds after which the client may repeat the call. Anything but a
// number of 31 bits forbids it to (gRPC's A6-client-retries.md), such as -1.
func pushback(ms string) string {
	if _, err := strconv.ParseUint(ms, 10, 31); err != nil {
		return ""
	}
	return ms
}

type connectError struct{ Code, Message string }

// readConnect reads the last message of a stream of Connect, which has the status.
func (e *End) readConnect(text []byte) {
	var end struct {
		Error    *connectError
		Metadata http.Header
	}
	switch err := json.Unmarshal(text, &end); {
	case err != nil:
		e.Status = "an end that is no JSON"
	case end.Error == nil:
		e.Status = OK
	default:
		e.Status = end.Error.Code
	}
	for name, values := range end.Metadata {
		if strings.EqualFold(name, "grpc-retry-pushback-ms") {
			e.Retry = pushback(strings.Join(values, ","))
		}
	}
}
