package ws

import "sync/atomic"

// Frames follow a WebSocket whose bytes somebody else passes on, as [Conn] follows one whose connection it stands before.
// Make them with [NewFrames], where both sides are past the handshake.
//
// Sent, At and Boundary are about the bytes to the peer, Received about the bytes from it: each of the two sides is for
// one goroutine at a time, and neither waits for the other. Frames allocate nothing and write nothing: to put the
// farewell in (see [Farewell.Append]), and then to send nothing more, is their caller's business.
type Frames struct {
	out      outgoing
	in       incoming
	answered atomic.Bool
}

// NewFrames returns Frames before the first byte of either side.
func NewFrames() *Frames { return &Frames{out: outgoing{phase: inFrames}} }

// Sent takes note of bytes that went to the peer.
func (f *Frames) Sent(p []byte) { f.out.follow(p) }

// At tells whether a farewell may be put in here: between two messages if it has one itself, else between two frames.
// It never may after the handler's own Close, nor where the bytes are not a server's frames.
func (f *Frames) At(message bool) bool { return f.out.at(message) }

// Boundary is the length of the shortest prefix of p after which At holds, or -1. It takes note of nothing.
func (f *Frames) Boundary(p []byte, message bool) int { return f.out.boundary(p, message) }

// Received takes note of bytes that came from the peer.
func (f *Frames) Received(p []byte) {
	if f.in.follow(p) {
		f.answered.Store(true)
	}
}

// Answered tells whether the peer's Close has come, before a farewell or after it. It may be called at any time.
func (f *Frames) Answered() bool { return f.answered.Load() }
