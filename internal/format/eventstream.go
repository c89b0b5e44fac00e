package format

import (
	"bytes"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lastcall-go/lastcall/policy"
)

// An eventStream is a body of server-sent events (text/event-stream, WHATWG HTML 9.2.5). The zero
// eventStream is one of which nothing was sent. It never allocates, and a copy of it is
// independent.
//
// After bytes that look compressed it has no boundary any more: after a binary data byte (MIME
// Sniffing 3: any control but TAB, LF, FF, CR and ESC), or invalid UTF-8 in the first field's name.
// The grammar allows both, but to leave the farewell out does less harm than to corrupt the body.
// Nor does it have one as long as no line has been a field or a comment, as where raw text is
// served under the media type: a client of that couldn't make anything of an event.
type eventStream struct {
	inLine    bool // the current line has a byte
	inEvent   bool // a field has begun since the last blank line
	inText    bool // a line has had a byte, and none was a field or a comment yet
	sawField  bool // a line was a field or a comment
	afterCR   bool // the last byte was a CR: an LF right after it belongs to it
	notEvents bool // the bytes don't look like an event stream

	firstCharDone bool // the first character, which may be a byte order mark, is complete
	firstNameDone bool // the first field's name is complete, and was valid UTF-8

	// The first charLen bytes of char are an incomplete character of the first field's name.
	char    [utf8.UTFMax]byte
	charLen uint8

	// Until sawField: the first nameLen bytes of the current line, up to its colon.
	name    [len("event:")]byte
	nameLen uint8
}

func (s *eventStream) Name() string { return SSE }

func (s *eventStream) Write(p []byte) (int, error) {
	for i := 0; i < len(p); i++ {
		s.writeByte(p[i])
		if s.inLine && s.sawField && s.firstNameDone {
			for i+1 < len(p) && p[i+1] >= ' ' {
				i++ // within a line such a byte changes nothing
			}
		}
	}
	return len(p), nil
}

// AtBoundary implements [Body]. Boundaries are the start of the stream, the end of a blank line,
// and the ends of comments right after either.
//
// The CR of a blank line is its end, whether or not an LF follows: after an event that was inserted
// between them, the LF is a blank line of its own, which does nothing.
func (s *eventStream) AtBoundary() bool { return !s.inLine && !s.inEvent && !s.notEvents && !s.inText }

// Boundary implements [Body]. It passes over the boundary within a CRLF, since some clients,
// r3labs/sse's among them, look for "\r\n\r\n".
func (s *eventStream) Boundary(p []byte) int {
	if s.AtBoundary() {
		return 0
	}
	ahead := *s
	for i, c := range p {
		if ahead.writeByte(c); ahead.AtBoundary() {
			if ahead.afterCR && bytes.HasPrefix(p[i+1:], []byte("\n")) {
				i++
			}
			return i + 1
		}
	}
	return -1
}

// writeByte follows one byte.
func (s *eventStream) writeByte(c byte) {
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
	if !s.sawField {
		s.findField(c)
	}
	if !s.firstNameDone {
		s.followFirstName(c)
	}
}

// findField follows one byte of a line, or its end, until a line is a field or a comment (WHATWG
// HTML 9.2.6). A name that is longer than all of those fills s.name.
func (s *eventStream) findField(c byte) {
	lineEnd := c == '\n' || c == '\r'
	if c != ':' && !lineEnd {
		s.inText = true
		if int(s.nameLen) < len(s.name) {
			s.name[s.nameLen] = c
			s.nameLen++
		}
		return
	}
	switch string(s.name[:s.nameLen]) {
	case "":
		s.sawField = c == ':' // a comment
	case "data", "event", "id", "retry":
		s.sawField = true
	}
	switch {
	case s.sawField:
		s.inText = false
	case lineEnd:
		s.nameLen = 0
	default:
		s.nameLen = uint8(len(s.name)) // what follows the colon is no name
	}
}

// followFirstName follows one byte of the first field's name, or the one after it. The bytes of a
// byte order mark look like those of a field until it is complete, so there is no boundary within
// it.
func (s *eventStream) followFirstName(c byte) {
	if s.charLen == 0 && c < utf8.RuneSelf {
		s.firstCharDone = true
		s.firstNameDone = c == ':' || c == '\n' || c == '\r'
		return
	}
	s.char[s.charLen] = c
	s.charLen++
	char := s.char[:s.charLen]
	if !utf8.FullRune(char) {
		return
	}
	s.notEvents = s.notEvents || !utf8.Valid(char)
	if !s.firstCharDone && string(char) == "\uFEFF" {
		s.inLine, s.inEvent, s.inText, s.nameLen = false, false, false, 0
	}
	s.firstCharDone, s.charLen = true, 0
}

// Torn implements [Body]: clients drop an event without its end (WHATWG HTML 9.2.6).
func (*eventStream) Torn() bool { return false }

// AppendFarewell implements [Body]: one event, with the reconnect slot in its retry field, or that
// field alone, or nothing, as f.Send says.
func (s *eventStream) AppendFarewell(b []byte, f policy.Farewell, retry time.Duration) []byte {
	switch f.Send {
	case policy.SendNothing:
		return b
	case policy.SendRetry:
		return AppendEvent(b, retry, "", "")
	}
	return AppendEvent(b, retry, f.Event, f.Data)
}

// AppendEvent appends an event to b, and returns the longer slice. What becomes of each field is as
// sse.Event and its Append say.
func AppendEvent(b []byte, retry time.Duration, name, data string) []byte {
	start := len(b)
	if retry > 0 {
		b = append(b, "retry: "...)
		b = strconv.AppendInt(b, max(1, retry.Milliseconds()), 10)
		b = append(b, '\n')
	}
	named := strings.Trim(name, "\r\n\x00") != ""
	if named {
		b = append(b, "event: "...)
		for _, c := range []byte(name) {
			if c != '\r' && c != '\n' && c != 0 {
				b = append(b, c)
			}
		}
		b = append(b, '\n')
	}
	if named || data != "" {
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
