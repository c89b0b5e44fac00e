package format

import (
	"bytes"
	"mime"
	"net/http"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

// parts is a body of MIME parts, multipart/x-mixed-replace, in which each part replaces the one
// before.
//
// Where a part ends is known only when the next one's delimiter begins (RFC 2046, section 5.1.1),
// so that is where it can be left: in front of a delimiter line that begins within one Write.
// Writers make theirs in one.
type parts struct {
	delimiter string // "--" and the boundary parameter
	inLine    bool
	begun     bool
}

func recognizeParts(mediaType string, h http.Header) (Body, bool) {
	if mediaType != "multipart/x-mixed-replace" {
		return nil, false
	}
	_, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return nil, true
	}
	return &parts{delimiter: "--" + params["boundary"]}, true
}

func (s *parts) Name() string { return Parts }

func (s *parts) Write(p []byte) (int, error) {
	if len(p) > 0 {
		s.begun = true
		s.inLine = p[len(p)-1] != '\n'
	}
	return len(p), nil
}

// AtBoundary implements [Body]: only where the body hasn't begun may it end for certain.
func (s *parts) AtBoundary() bool { return !s.begun }

// Boundary implements [Body]: it returns where in p the first delimiter line begins.
func (s *parts) Boundary(p []byte) int {
	if !s.begun || !s.inLine && bytes.HasPrefix(p, []byte(s.delimiter)) {
		return 0
	}
	if i := bytes.Index(p, []byte("\n"+s.delimiter)); i >= 0 {
		return i + 1
	}
	return -1
}

// AppendFarewell implements [Body]: the message, if there is one, is the last part (its header, an
// empty line, its body), and the closing delimiter follows.
func (s *parts) AppendFarewell(b []byte, f policy.Farewell, _ time.Duration) []byte {
	if f.Message != "" {
		b = append(b, s.delimiter...)
		b = append(b, "\r\n"...)
		b = append(b, f.Message...)
		b = append(b, "\r\n"...)
	}
	b = append(b, s.delimiter...)
	return append(b, "--\r\n"...)
}
