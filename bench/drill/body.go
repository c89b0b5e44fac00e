package main

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/request"
)

// A body is what a client has read of an answer. It keeps the beginning and the end of a long one.
type body struct {
	head   []byte
	tail   []byte
	size   int64
	format format.Body // nil: none that is known
	keep   int         // how much of the beginning
}

const (
	mostHead = 1 << 20
	mostCall = 16 << 20 // of a call of gRPC or Connect, whose messages are read at its end
	mostTail = 64 << 10
)

func newBody(h http.Header, call request.Protocol) body {
	b := body{keep: mostHead}
	if call != request.NoCall {
		b.keep = mostCall
	}
	b.format, _, _ = format.Recognize(h)
	return b
}

func (b *body) add(p []byte) {
	b.size += int64(len(p))
	b.head = append(b.head, p[:min(len(p), b.keep-len(b.head))]...)
	if b.tail = append(b.tail, p...); len(b.tail) > 2*mostTail {
		b.tail = append(b.tail[:0], b.tail[len(b.tail)-mostTail:]...)
	}
	if b.format != nil {
		_, _ = b.format.Write(p) // takes all
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
	return text[strings.LastIndex("\n\n"+strings.TrimRight(text, "\n"), "\n\n"):]
}
