package format

import (
	"bytes"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

// lines is a body each line of which stands for itself, such as newline-delimited JSON.
type lines struct{ inLine bool }

func (l *lines) Name() string { return Lines }

func (l *lines) Write(p []byte) (int, error) {
	if len(p) > 0 {
		l.inLine = p[len(p)-1] != '\n'
	}
	return len(p), nil
}

func (l *lines) AtBoundary() bool { return !l.inLine }

func (l *lines) Boundary(p []byte) int {
	if !l.inLine {
		return 0
	}
	if i := bytes.IndexByte(p, '\n'); i >= 0 {
		return i + 1
	}
	return -1
}

// Torn implements [Body]: the beginning of a line could pass for a whole one.
func (l *lines) Torn() bool { return l.inLine }

// AppendFarewell implements [Body]: the message is the last line. Nothing else marks the end.
func (l *lines) AppendFarewell(b []byte, f policy.Farewell, _ time.Duration) []byte {
	if f.Message == "" {
		return b
	}
	return append(append(b, f.Message...), '\n')
}
