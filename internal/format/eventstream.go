package format

import (
	"encoding/binary"
	"math/bits"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/sse"
)

// An EventStream is a body of server-sent events (text/event-stream). The zero EventStream stands
// at the start of one and is ready to use. It is a few bytes, keeps none of the stream but the
// start of a character, and never allocates. A copy of it is independent of it. It is exported so
// that a response can follow its bytes before it is known what they are.
//
// Lines end in CR, LF or CRLF, and one byte order mark may come first (WHATWG HTML 9.2.5).
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

	// The unfinished character at the head of the stream, kept until it can be judged.
	char  [utf8.UTFMax]byte
	chars uint8
}

func recognizeEventStream(mediaType string, _ http.Header) (Body, bool) {
	if mediaType == "text/event-stream" {
		return new(EventStream), true
	}
	return nil, false
}

// Name implements [Body].
func (s *EventStream) Name() string { return SSE }

// Write implements [Body].
func (s *EventStream) Write(p []byte) (int, error) {
	for n := 0; n < len(p); {
		n += s.line(p[n:])
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
	for n := 0; n < len(p); {
		n += ahead.line(p[n:])
		if !ahead.AtBoundary() {
			continue
		}
		if ahead.afterCR && n < len(p) && p[n] == '\n' {
			n++
		}
		return n
	}
	return -1
}

// AppendFarewell implements [Body]: the reconnect slot and the named event in one.
func (s *EventStream) AppendFarewell(b []byte, f policy.Farewell, retry time.Duration) []byte {
	return sse.Event{Retry: retry, Name: f.Event, Data: f.Data}.Append(b)
}

// line follows p to behind its first line end, or wholly, and returns how far it went. AtBoundary
// changes to true only where that ends.
func (s *EventStream) line(p []byte) int {
	if s.notEvents {
		return len(p)
	}
	if s.afterCR {
		s.afterCR = false
		if p[0] == '\n' {
			return 1
		}
	}
	if !s.nameEnded {
		if n := s.firstName(p); n > 0 {
			return n
		}
	}
	if !s.inLine && p[0] != '\n' && p[0] != '\r' {
		s.inLine = true
		s.inEvent = s.inEvent || p[0] != ':'
	}
	for n := 0; ; n++ {
		i := indexControl(p[n:])
		if i < 0 {
			return len(p)
		}
		n += i
		switch p[n] {
		case '\n', '\r':
			if !s.inLine {
				s.inEvent = false
			}
			s.inLine = false
			s.afterCR = p[n] == '\r'
			return n + 1
		case '\t', '\f', 0x1b:
		default:
			s.notEvents = true
			return len(p)
		}
	}
}

// firstName looks at the head of the stream, up to the end of the first field's name. It returns
// how much of p it has followed, so that nobody else has to: a byte order mark, or all of what is
// no event stream; mostly 0. Until the mark is whole its bytes pass for a field, so that nothing is
// put into it.
func (s *EventStream) firstName(p []byte) int {
	for i, c := range p {
		if s.chars == 0 && c < utf8.RuneSelf {
			s.begun = true
			if c == ':' || c == '\n' || c == '\r' {
				s.nameEnded = true
				return 0
			}
			continue
		}
		s.char[s.chars] = c
		s.chars++
		char := s.char[:s.chars]
		if !utf8.FullRune(char) {
			continue
		}
		s.chars = 0
		r, size := utf8.DecodeRune(char)
		if r == utf8.RuneError && size == 1 {
			s.notEvents = true
			return len(p)
		}
		first := !s.begun
		s.begun = true
		if first && r == '\uFEFF' {
			s.inLine, s.inEvent = false, false
			return i + 1
		}
	}
	return 0
}

// indexControl returns where the first byte below 0x20 is in p, or -1. It looks at eight bytes at
// once, so that one pass finds line ends of either sort and binary bytes, too.
func indexControl(p []byte) int {
	const (
		spaces = 0x2020202020202020
		tops   = 0x8080808080808080
	)
	n := 0
	for ; len(p)-n >= 8; n += 8 {
		// Each byte below 0x20 borrows in the subtraction, which sets its top bit. A borrow can
		// make a byte above it (further on) look like one, but never one below.
		w := binary.LittleEndian.Uint64(p[n:])
		if hit := (w - spaces) &^ w & tops; hit != 0 {
			return n + bits.TrailingZeros64(hit)/8
		}
	}
	for ; n < len(p); n++ {
		if p[n] < ' ' {
			return n
		}
	}
	return -1
}
