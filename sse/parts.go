package sse

import (
	"bytes"
	"mime"
)

// Parts follows a body of MIME parts, such as multipart/x-mixed-replace, in which each part replaces the one before.
// Make it with [NewParts]. It is not safe for concurrent use.
//
// Where a part ends is known only when the next one's delimiter begins (RFC 2046, section 5.1.1), so that is where it
// can be left: in front of a delimiter line that begins within one Write. Writers make theirs in one.
type Parts struct {
	delimiter string // "--" and the boundary
	inLine    bool
	begun     bool
}

// NewParts returns the Parts of a body with this Content-Type, or nil if that names no boundary.
func NewParts(contentType string) *Parts {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil || params["boundary"] == "" {
		return nil
	}
	return &Parts{delimiter: "--" + params["boundary"]}
}

// Write follows p, bytes that have gone out. It takes all of p and never fails.
func (s *Parts) Write(p []byte) (int, error) {
	if len(p) > 0 {
		s.begun = true
		s.inLine = p[len(p)-1] != '\n'
	}
	return len(p), nil
}

// AtBoundary reports whether the body may end here for certain: only where it hasn't begun.
func (s *Parts) AtBoundary() bool { return !s.begun }

// Boundary returns where in p the first delimiter line begins, or -1.
func (s *Parts) Boundary(p []byte) int {
	if !s.inLine && bytes.HasPrefix(p, []byte(s.delimiter)) || !s.begun {
		return 0
	}
	if i := bytes.Index(p, []byte("\n"+s.delimiter)); i >= 0 {
		return i + 1
	}
	return -1
}

// AppendEnd appends the end of the body to b: a last part if there is one, its header, an empty line and its body, and
// the closing delimiter.
func (s *Parts) AppendEnd(b []byte, last string) []byte {
	if last != "" {
		b = append(b, s.delimiter...)
		b = append(b, "\r\n"...)
		b = append(b, last...)
		b = append(b, "\r\n"...)
	}
	b = append(b, s.delimiter...)
	return append(b, "--\r\n"...)
}
