package format

import (
	"bytes"
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/lastcall-go/lastcall/policy"
)

// An EventStream is a body of server-sent events (text/event-stream, WHATWG HTML 9.2.5). The zero
// EventStream stands at the start of one. It never allocates, and a copy of it is independent. It
// is exported so that a response can follow its bytes before it is known what they are.
//
// Bytes that don't look like an event stream end the following for good: a binary data byte
// anywhere (MIME Sniffing 3: any control but TAB, LF, FF, CR and ESC), or invalid UTF-8 in the
// first field's name, as compressed bytes have it. Such a body is never at a boundary again. The
// grammar would let both pass, but an event too few is the lesser harm.
type EventStream struct {
	inLine    bool // in a line, behind its first byte
	inEvent   bool // a field line was begun since the last blank line
	afterCR   bool // the last byte was a CR: an LF right behind it belongs to it
	begun     bool // the first character is over: no byte order mark can come
	nameEnded bool // the first field's name is over, and was valid UTF-8
	notEvents bool // the bytes don't look like an event stream

	// The unfinished character of the first field's name.
	char  [utf8.UTFMax]byte
	chars uint8
}

func recognizeEventStream(mediaType string, _ http.Header) (Body, bool) {
	if mediaType != "text/event-stream" {
		return nil, false
	}
	return new(EventStream), true
}

// Name implements [Body].
func (s *EventStream) Name() string { return SSE }

// Write implements [Body].
func (s *EventStream) Write(p []byte) (int, error) {
	for _, c := range p {
		s.next(c)
	}
	return len(p), nil
}

// AtBoundary implements [Body]. An event may be put in at the start of a line with no field of an
// unfinished event before it. That is so at the start of the stream, after a blank line, and after
// comments that follow either.
//
// It is so after the lone CR of a blank line, too. Should an LF follow, it belongs to that CR:
// after an event that was put in between, it would be a blank line of its own, which does nothing.
func (s *EventStream) AtBoundary() bool { return !s.inLine && !s.inEvent && !s.notEvents }

// Boundary implements [Body]. A CRLF that ends the prefix is taken whole: cut between CR and LF
// would be as good by the grammar, but some clients, r3labs/sse's among them, look for "\r\n\r\n".
func (s *EventStream) Boundary(p []byte) int {
	if s.AtBoundary() {
		return 0
	}
	ahead := *s
	for i, c := range p {
		if ahead.next(c); ahead.AtBoundary() {
			if ahead.afterCR && bytes.HasPrefix(p[i+1:], []byte("\n")) {
				i++
			}
			return i + 1
		}
	}
	return -1
}

// next follows one byte.
func (s *EventStream) next(c byte) {
	switch {
	case s.notEvents:
		return
	case c == '\n' && s.afterCR:
		s.afterCR = false
		return
	case c == '\n', c == '\r':
		s.inEvent = s.inEvent && s.inLine
		s.inLine = false
	case c < ' ' && c != '\t' && c != '\f' && c != 0x1b:
		s.notEvents = true
	case !s.inLine:
		s.inLine = true
		s.inEvent = s.inEvent || c != ':'
	}
	s.afterCR = c == '\r'
	if !s.nameEnded {
		s.nextOfName(c)
	}
}

// nextOfName follows one byte of the first field's name or right behind it. The bytes of a byte
// order mark pass for a field until it is whole, so that nothing is put into it.
func (s *EventStream) nextOfName(c byte) {
	if s.chars == 0 && c < utf8.RuneSelf {
		s.begun = true
		s.nameEnded = c == ':' || c == '\n' || c == '\r'
		return
	}
	s.char[s.chars] = c
	s.chars++
	char := s.char[:s.chars]
	if !utf8.FullRune(char) {
		return
	}
	if !utf8.Valid(char) {
		s.notEvents = true
	}
	if !s.begun && string(char) == "\uFEFF" {
		s.inLine, s.inEvent = false, false
	}
	s.begun, s.chars = true, 0
}

// AppendFarewell implements [Body]: the reconnect slot and the named event in one.
func (s *EventStream) AppendFarewell(b []byte, f policy.Farewell, retry time.Duration) []byte {
	return AppendEvent(b, retry, f.Event, f.Data)
}

// AppendEvent appends an event: its retry field, if it is over zero, its name without what can't be
// in one, and a data field for each line of data. See sse.Event for what each means.
func AppendEvent(b []byte, retry time.Duration, name, data string) []byte {
	start := len(b)
	if retry > 0 {
		b = append(b, "retry: "...)
		b = strconv.AppendInt(b, max(1, retry.Milliseconds()), 10)
		b = append(b, '\n')
	}
	named := len(b)
	b = append(b, "event: "...)
	for _, c := range []byte(name) {
		if c != '\r' && c != '\n' && c != 0 {
			b = append(b, c)
		}
	}
	if len(b) == named+len("event: ") {
		b = b[:named]
	} else {
		b = append(b, '\n')
	}
	// Without data no client would dispatch a named event (WHATWG HTML 9.2.6).
	if len(b) > named || data != "" {
		b = append(b, "data: "...)
		for i, c := range []byte(data) {
			switch {
			case c == '\n' && i > 0 && data[i-1] == '\r': // the CR has ended the line
			case c == '\n', c == '\r':
				b = append(b, "\ndata: "...)
			default:
				b = append(b, c)
			}
		}
		b = append(b, '\n')
	}
	if len(b) > start {
		b = append(b, '\n')
	}
	return b
}
