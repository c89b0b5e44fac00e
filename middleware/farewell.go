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
)

// A word is what the drain wants said, to whoever has the turn.
type word struct {
	policy.Farewell
	retry   time.Duration
	unheard error // why it was not written to the end
}

// outcome tells how a response ended that the word was said to.
func (w *word) outcome() stream.Outcome {
	switch {
	case w.unheard == nil:
		return stream.Told
	case errors.Is(w.unheard, os.ErrDeadlineExceeded):
		return stream.Cut
	}
	return stream.Completed // the client has left
}

// A follower knows where in a body a farewell can stand.
type follower interface {
	Write(p []byte) (int, error)
	AtBoundary() bool
	Boundary(p []byte) int // length of the shortest prefix of p that ends at one, or -1
}

// recognise tells by its header what a body is. It follows those that a farewell
// can be put into, which nothing can be once they are encoded.
func (x *exchange) recognise(h http.Header) (policy.Kind, stream.Protocol) {
	contentType := h.Get("Content-Type")
	mediaType, _, _ := strings.Cut(contentType, ";")
	plain := h.Get("Content-Encoding") == ""
	switch strings.ToLower(strings.TrimSpace(mediaType)) {
	case "text/event-stream":
		if sse.Is(h) {
			x.follow = &x.events
			return policy.Infinite, stream.SSE
		}
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/stream+json":
		if plain {
			x.follow = new(sse.Lines)
		}
	case "multipart/x-mixed-replace":
		if parts := sse.NewParts(contentType); plain && parts != nil {
			x.follow = parts
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
	case was == free:
		x.ask(w)
		x.yield()
	case was >= over:
		if x.taken != nil { // but a moment ago, and the handler has left since
			x.taken.Farewell(f, retry)
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
		x.asked = w
	}
}

// say says the farewell if it is asked for and can be said: where the body
// stands, or by the connection that has been hijacked meanwhile. The turn must
// be held by the caller.
func (x *exchange) say() {
	switch {
	case x.asked == nil || x.said:
	case x.taken != nil:
		w := x.asked
		if x.asked = nil; x.Say() {
			x.taken.Farewell(w.Farewell, w.retry)
		}
	case x.follow != nil && x.follow.AtBoundary():
		x.speak()
	}
}

// writeThenSay writes as far as the boundary goes that the farewell waits for.
// What the handler wants to write after the farewell is swallowed.
func (x *exchange) writeThenSay(p []byte) (int, error) {
	upTo := x.follow.Boundary(p)
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
	if words := x.words(); len(words) > 0 {
		var n int
		if n, x.asked.unheard = x.w.Write(words); n > 0 {
			x.touch()
		}
	}
	if err := x.flush(); x.asked.unheard == nil && !errors.Is(err, http.ErrNotSupported) {
		x.asked.unheard = err
	}
}

// words are the farewell in the body's own format.
func (x *exchange) words() []byte {
	switch f := x.follow.(type) {
	case *sse.Scanner:
		return sse.Event{Retry: x.asked.retry, Name: x.asked.Event, Data: x.asked.Data}.Append(nil)
	case *sse.Parts:
		return f.AppendEnd(nil, x.asked.Message)
	}
	if x.asked.Message == "" {
		return nil // lines have no end of their own but the body's
	}
	return append([]byte(x.asked.Message), '\n')
}

// lastWrites replaces the handler's write deadline, which may be long past, by
// the moment of the cut: nothing but the end of the body comes after.
// The turn must be held by the caller, and the cut be kept out.
func (x *exchange) lastWrites() {
	if !x.cut.Load() {
		_ = http.NewResponseController(x.w).SetWriteDeadline(x.CutAt())
	}
}
