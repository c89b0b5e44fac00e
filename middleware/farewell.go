package middleware

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/sse"
	"github.com/lastcall-go/lastcall/stream"
	"github.com/lastcall-go/lastcall/ws"
)

// A word is what the drain wants said, to whoever has the turn.
type word struct {
	policy.Farewell
	retry   time.Duration
	unheard error // why it was not written to the end
}

// closing is a farewell to a WebSocket.
func closing(f policy.Farewell) ws.Farewell {
	return ws.Farewell{Code: f.Code, Reason: f.Reason, Message: f.Message, Binary: f.Binary}
}

// A follower knows where in a body a farewell can stand.
type follower interface {
	Write(p []byte) (int, error)
	AtBoundary() bool
	Boundary(p []byte) int // length of the shortest prefix of p that ends at one, or -1
}

// A tail is what a stream needs for its farewell, and the link of a hijacked
// connection. Most responses have neither. Whoever has the turn owns it, and makes it.
type tail struct {
	follow follower  // where in the body we are; nil: nothing can be put into it
	asked  *word     // the farewell that waits for a boundary
	taken  *takeover // the hijacked connection; nil: it wasn't hijacked
}

// followed tells whether a farewell can be put into the body.
func (t *tail) followed() bool { return t != nil && t.follow != nil }

// awaited tells whether a farewell is asked for.
func (t *tail) awaited() bool { return t != nil && t.asked != nil }

// outcome tells how a response ended whose farewell was said.
func (t *tail) outcome() stream.Outcome {
	s, socket := t.follow.(*socket)
	switch err := t.asked.unheard; {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return stream.Cut
	case err != nil:
		return stream.Completed // the client has left
	case socket && !s.frames.Answered():
		return stream.Unanswered
	}
	return stream.Told
}

func (x *exchange) grow() *tail {
	if x.tail == nil {
		x.tail = new(tail)
	}
	return x.tail
}

func (x *exchange) follow(f follower) { x.grow().follow = f }

// recognise tells by its header what a body is. It follows those that a farewell
// can be put into, which nothing can be once they are encoded.
func (x *exchange) recognise(h http.Header) (policy.Kind, stream.Protocol) {
	if s := x.socket(); s != nil && x.code < http.StatusMultipleChoices {
		x.follow(s)
		return policy.Infinite, stream.WebSocket
	}
	contentType := firstValue(h, "Content-Type")
	mediaType, _, _ := strings.Cut(contentType, ";")
	switch strings.ToLower(strings.TrimSpace(mediaType)) {
	case "text/event-stream":
		if sse.Is(h) {
			x.follow(&x.events)
			return policy.Infinite, stream.SSE
		}
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/stream+json":
		if !sse.Encoded(h) {
			x.follow(new(sse.Lines))
			return policy.Infinite, stream.Lines
		}
	case "multipart/x-mixed-replace":
		if parts := sse.NewParts(contentType); parts != nil && !sse.Encoded(h) {
			x.follow(parts)
			return policy.Infinite, stream.Parts
		}
	default:
		return policy.Finite, stream.HTTP
	}
	return policy.Infinite, stream.HTTP
}

// Farewell implements [stream.Link].
func (x *exchange) Farewell(f policy.Farewell, retry time.Duration) {
	w := &word{Farewell: f.Expand(retry), retry: retry}
	switch was := x.turn.leave(w); {
	case was == turnFree:
		x.ask(w)
		x.yield()
	case was >= turnOver:
		if t, ok := x.Link().(*takeover); ok && x.Say() { // since a moment ago, and the handler has left
			t.Farewell(f, retry)
		}
	}
}

// yield gives the turn back, once what was asked for is said, or can't be yet.
func (x *exchange) yield() {
	x.say()
	for w := x.turn.give(); w != nil; w = x.turn.give() {
		x.ask(w)
		x.say()
	}
}

func (x *exchange) ask(w *word) {
	if !x.said {
		x.grow().asked = w
	}
}

// say says the farewell if it is asked for and can be said: where the body
// stands, or by the connection that has been hijacked meanwhile. The turn must
// be held by the caller.
func (x *exchange) say() {
	switch {
	case !x.tail.awaited() || x.said:
	case x.hijacked():
		w := x.tail.asked
		if x.tail.asked = nil; x.Say() {
			x.tail.taken.Farewell(w.Farewell, w.retry)
		}
	case x.tail.followed() && x.tail.follow.AtBoundary():
		x.speak()
	}
}

// writeThenSay writes as far as the boundary goes that the farewell waits for.
// What the handler wants to write after the farewell is swallowed.
func (x *exchange) writeThenSay(p []byte) (int, error) {
	upTo := x.tail.follow.Boundary(p)
	if upTo < 0 {
		return x.pass(p)
	}
	if n, err := x.pass(p[:upTo]); err != nil {
		return n, err
	}
	if x.speak(); x.said {
		return len(p), nil
	}
	n, err := x.pass(p[upTo:])
	return upTo + n, err
}

// speak writes the farewell, unless the response has become one that gets none.
// The turn must be held by the caller, and the body be at a boundary.
func (x *exchange) speak() {
	if x.said || x.cut.Load() || !x.Say() {
		return
	}
	x.said = true
	x.turn.unlessOver(x.lastWrites)
	w := x.tail.asked
	if words := x.tail.words(); len(words) > 0 {
		var n int
		if n, w.unheard = x.w.Write(words); n > 0 {
			x.touch()
		}
	}
	if err := x.flush(); w.unheard == nil && !errors.Is(err, http.ErrNotSupported) {
		w.unheard = err
	}
}

// words are the farewell in the body's own format.
func (t *tail) words() []byte {
	switch f := t.follow.(type) {
	case *sse.Scanner:
		return sse.Event{Retry: t.asked.retry, Name: t.asked.Event, Data: t.asked.Data}.Append(nil)
	case *sse.Parts:
		return f.AppendEnd(nil, t.asked.Message)
	case *socket:
		return closing(t.asked.Farewell).Append(nil)
	}
	if t.asked.Message == "" {
		return nil // lines have no end of their own but the body's
	}
	return append([]byte(t.asked.Message), '\n')
}

// lastWrites replaces the handler's write deadline, which may be long past, by
// the moment of the cut: nothing but the end of the body comes after.
// The turn must be held by the caller, and the cut be kept out.
func (x *exchange) lastWrites() {
	if !x.cut.Load() {
		_ = http.NewResponseController(x.w).SetWriteDeadline(x.CutAt())
	}
}
