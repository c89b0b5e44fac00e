package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/lastcall-go/lastcall/internal/format"
)

// A body is what a client has read of an answer. It keeps the beginning and the end of a long one.
type body struct {
	head   []byte
	tail   []byte
	size   int64
	format format.Body // nil: none that is known
	calls  *messages   // nil: it is no call of gRPC or Connect
}

const (
	mostHead = 1 << 20
	mostTail = 64 << 10
)

func newBody(h http.Header) body {
	b := body{}
	if b.format, _, _ = format.Recognize(h); b.format != nil {
		if name := b.format.Name(); name == format.GRPC || name == format.Connect {
			b.calls = &messages{}
		}
	}
	return b
}

func (b *body) add(p []byte) {
	b.size += int64(len(p))
	b.head = append(b.head, p[:min(len(p), mostHead-len(b.head))]...)
	if b.tail = append(b.tail, p...); len(b.tail) > 2*mostTail {
		b.tail = append(b.tail[:0], b.tail[len(b.tail)-mostTail:]...)
	}
	if b.format != nil {
		_, _ = b.format.Write(p) // takes all
	}
	if b.calls != nil {
		b.calls.add(p)
	}
}

// isPartOf reports whether b is the beginning of whole, and less than that.
func (b *body) isPartOf(whole *body) bool {
	n := min(len(b.head), len(whole.head))
	return b.size < whole.size && bytes.Equal(b.head[:n], whole.head[:n])
}

func (b *body) equals(other *body) bool {
	return b.size == other.size && bytes.Equal(b.head, other.head) && bytes.Equal(b.tail, other.tail)
}

// torn reports whether the body ends within a message or a line.
func (b *body) torn() bool { return b.format != nil && b.format.Torn() }

// lastEvent returns the end of an event stream, from the beginning of its last event on, with line
// feeds as line ends.
func (b *body) lastEvent() string {
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(b.tail))
	return text[strings.LastIndex("\n\n"+strings.TrimSuffix(text, "\n\n"), "\n\n"):]
}

// messages follows the messages of gRPC, gRPC-Web or Connect: a byte of flags, four with the length
// of the rest, and that.
type messages struct {
	prefix []byte
	left   uint32
	last   []byte // the message that has the status, as far as it came
}

const (
	connectEnd  = 0x02 // the flag of the message with which an answer of Connect ends
	webTrailers = 0x80 // of gRPC-Web
	mostLast    = 64 << 10
)

func (m *messages) add(p []byte) {
	for len(p) > 0 {
		if len(m.prefix) < 5 {
			m.prefix, p = append(m.prefix, p[0]), p[1:]
			if len(m.prefix) < 5 {
				continue
			}
			m.left = binary.BigEndian.Uint32(m.prefix[1:])
		}
		n := min(uint64(m.left), uint64(len(p)))
		if m.prefix[0]&(connectEnd|webTrailers) != 0 {
			m.last = append(m.last, p[:min(n, uint64(mostLast-len(m.last)))]...)
		}
		if m.left -= uint32(n); m.left == 0 {
			m.prefix = m.prefix[:0]
		}
		p = p[n:]
	}
}

// status returns a call's status: "0" if it went well, and empty if it has none.
func (b *body) status(header, trailer http.Header) string {
	if b.calls == nil {
		return ""
	}
	for _, h := range []http.Header{trailer, header} {
		if s := h.Get("Grpc-Status"); s != "" {
			return s
		}
	}
	text := string(b.calls.last)
	if b.format.Name() == format.GRPC {
		for line := range strings.Lines(text) {
			if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, "grpc-status") {
				return strings.TrimSpace(value)
			}
		}
		return ""
	}
	var end struct{ Error *struct{ Code string } }
	switch {
	case text == "" || json.Unmarshal([]byte(text), &end) != nil:
		return ""
	case end.Error == nil:
		return "0"
	}
	return end.Error.Code
}

// unavailable reports whether a call's status says that it is to be tried again.
func unavailable(status string) bool { return status == "14" || status == "unavailable" }
