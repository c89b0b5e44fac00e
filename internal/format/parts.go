package format

import (
	"bytes"
	"mime"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

// parts is a multipart body (RFC 2046, section 5.1): multipart/mixed, such as GraphQL results, or
// multipart/x-mixed-replace, in which each part replaces the one before.
//
// Only the delimiter line of the next part shows that a part has ended, so the boundaries are the
// beginning of the body and the places before a delimiter line. Servers of GraphQL write that line
// together with the part that it ends, and then wait for the next result, so there is a boundary
// after it too, where the last part has begun already. Where parts replace each other there is
// none, since an empty last part would replace a picture; nor is there one after the closing
// delimiter.
//
// The place before a delimiter that is split between two Writes is missed; writers don't split
// theirs.
type parts struct {
	delimiter string // "--" and the boundary parameter
	replace   bool   // the parts replace each other
	begun     bool   // a byte was sent
	delimited bool   // the last line was a delimiter
	closed    bool   // a line was the closing delimiter

	line    [maxDelimiter + len("--")]byte // the beginning of the current line
	lineLen int                            // how many bytes of line are set
}

// maxDelimiter is the length of the longest delimiter that RFC 2046 allows, with its two hyphens.
const maxDelimiter = 2 + 70

// newParts returns a Body for this Content-Type, or nil if it has no boundary parameter, or one
// that is too long.
func newParts(contentType string) Body {
	mediaType, params, err := mime.ParseMediaType(contentType)
	delimiter := "--" + params["boundary"]
	if err != nil || delimiter == "--" || len(delimiter) > maxDelimiter {
		return nil
	}
	return &parts{delimiter: delimiter, replace: mediaType == "multipart/x-mixed-replace"}
}

func (s *parts) Name() string { return Parts }

func (s *parts) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		rest = rest[s.writeLine(rest):]
	}
	return len(p), nil
}

// writeLine follows p up to its first line end, and returns how many bytes that is.
func (s *parts) writeLine(p []byte) (n int) {
	n = len(p)
	end := bytes.IndexByte(p, '\n')
	if end >= 0 {
		n = end + 1
	}
	s.begun, s.delimited = true, false
	s.lineLen += copy(s.line[s.lineLen:], p[:n])
	if end < 0 {
		return n
	}
	if rest, ok := bytes.CutPrefix(s.line[:s.lineLen], []byte(s.delimiter)); ok {
		s.closed = s.closed || bytes.HasPrefix(rest, []byte("--"))
		blanks, whole := bytes.CutSuffix(rest, []byte("\n")) // not whole: the line was too long for s.line
		blanks = bytes.TrimSuffix(blanks, []byte("\r"))
		s.delimited = !s.closed && whole && len(bytes.TrimLeft(blanks, " \t")) == 0
	}
	s.lineLen = 0
	return n
}

// mayFollowDelimiter reports whether a line with the delimiter and then rest may be a delimiter
// line. rest then has the two hyphens of the closing one, a line end, or blanks before it.
func mayFollowDelimiter(rest []byte) bool {
	return len(rest) == 0 || strings.IndexByte(" \t\r\n", rest[0]) >= 0 || bytes.HasPrefix(rest, []byte("--"))
}

// AtBoundary implements [Body]. In a part only the next bytes can tell.
func (s *parts) AtBoundary() bool {
	return !s.closed && (!s.begun || s.delimited && !s.replace && s.lineLen == 0)
}

// Boundary implements [Body].
func (s *parts) Boundary(p []byte) int {
	ahead := *s
	for n := 0; !ahead.closed; n += ahead.writeLine(p[n:]) {
		if ahead.AtBoundary() {
			return n
		}
		if rest, ok := bytes.CutPrefix(p[n:], []byte(s.delimiter)); ok && ahead.lineLen == 0 && mayFollowDelimiter(rest) {
			return n
		}
		if n == len(p) {
			break
		}
	}
	return -1
}

// Torn implements [Body]: clients drop a part that has no delimiter after it.
func (*parts) Torn() bool { return false }

// AppendFarewell implements [Body]: the message, if there is one, is the last part, with its
// header, an empty line and its body. The closing delimiter follows.
func (s *parts) AppendFarewell(b []byte, f policy.Farewell, _ time.Duration) []byte {
	switch {
	case s.delimited: // the last part has begun
		b = append(b, f.Message+"\r\n"...)
	case f.Message != "":
		b = append(b, s.delimiter+"\r\n"+f.Message+"\r\n"...)
	}
	return append(b, s.delimiter+"--\r\n"...)
}
