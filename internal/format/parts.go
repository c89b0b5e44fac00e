package format

import (
	"bytes"
	"mime"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

// parts is a multipart/x-mixed-replace body, in which each part replaces the one before.
//
// Only the delimiter line of the next part shows that a part has ended (RFC 2046, section 5.1.1),
// so the boundaries are the beginning of the body and the places before a delimiter line. A
// delimiter that is split between two Writes is missed; writers don't split theirs.
type parts struct {
	delimiter string // "--" and the boundary parameter
	inLine    bool   // the last byte was no LF
	begun     bool   // a byte was sent
}

// newParts returns a Body for this Content-Type, or nil if it has no boundary parameter.
func newParts(contentType string) Body {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return nil
	}
	return &parts{delimiter: "--" + params["boundary"]}
}

func (s *parts) Name() string { return Parts }

func (s *parts) Write(p []byte) (int, error) {
	if len(p) > 0 {
		s.begun = true
		s.inLine = p[len(p)-1] != '\n'
	}
	return len(p), nil
}

// AtBoundary implements [Body]. After the beginning only the next bytes can tell.
func (s *parts) AtBoundary() bool { return !s.begun }

// Boundary implements [Body]: after the beginning it returns where in p a delimiter line begins.
func (s *parts) Boundary(p []byte) int {
	if !s.begun || !s.inLine && bytes.HasPrefix(p, []byte(s.delimiter)) {
		return 0
	}
	if i := bytes.Index(p, []byte("\n"+s.delimiter)); i >= 0 {
		return i + 1
	}
	return -1
}

// AppendFarewell implements [Body]: the message, if there is one, is the last part, with its
// header, an empty line and its body. The closing delimiter follows.
func (s *parts) AppendFarewell(b []byte, f policy.Farewell, _ time.Duration) []byte {
	if f.Message != "" {
		b = append(b, s.delimiter+"\r\n"+f.Message+"\r\n"...)
	}
	return append(b, s.delimiter+"--\r\n"...)
}
