package sse

import "bytes"

// Lines follows a body of lines, each whole in itself, such as newline-delimited JSON (application/x-ndjson). The zero
// Lines stands at the start of a body. It is not safe for concurrent use, and never allocates.
type Lines struct{ inLine bool }

// Write follows p, bytes that have gone out. It takes all of p and never fails.
func (l *Lines) Write(p []byte) (int, error) {
	if len(p) > 0 {
		l.inLine = p[len(p)-1] != '\n'
	}
	return len(p), nil
}

// AtBoundary reports whether a line may be put in here.
func (l *Lines) AtBoundary() bool { return !l.inLine }

// Boundary returns the length of the shortest prefix of p after which AtBoundary holds, or -1.
func (l *Lines) Boundary(p []byte) int {
	if !l.inLine {
		return 0
	}
	if i := bytes.IndexByte(p, '\n'); i >= 0 {
		return i + 1
	}
	return -1
}
