package tracked

import (
	"errors"
	"fmt"
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/policy"
)

// An Ending is what is known of a response's end before it comes. Most responses end without one:
// it is made when the handler first asks or says something about the end, or when the drain plans
// it.
type Ending struct {
	Response *Response

	// Guarded by Response.mu.
	asked        Asked
	own          func(retry time.Duration) policy.Farewell // the handler's own farewell
	draining     chan struct{}                             // made when the handler first asks for it
	told         bool                                      // draining is closed, or will be made closed
	farewellDue  bool                                      // the moment of the farewell has come
	farewellSent bool
	refused      bool   // Refuse was called
	why          string // what SetWhy recorded last
	moments      Moments
	published    bool // the handler may know of the moments, and a change of the kind is reported

	Schedule // owned by the goroutine of the scheduler
}

// Moments are when a response is told, when its context is canceled and when its connection is cut,
// and the reconnect slot that its client is given.
type Moments struct {
	Farewell, Cancel, Cut time.Time
	Retry                 time.Duration
}

// Add returns the moments of a plan that counts from start.
func Add(start time.Time, m policy.Moments) Moments {
	return Moments{start.Add(m.Farewell), start.Add(m.Cancel), start.Add(m.Cut), m.Retry}
}

// A Schedule is where a response stands in the scheduler's queue.
type Schedule struct {
	Stage          int         // what is done next
	At             time.Time   // when
	Queued         int         // the place in the queue, from 1; zero: it is in none
	Kind           policy.Kind // that its moments were planned for
	AgeNumber      uint64      // among the streams that end by their age; zero: it hasn't been given one
	Writing        bool        // a farewell is being written
	MessageDropped bool
	CutMoved       bool // the cut was put off because the machine was behind
	Round          int  // counts how often the response was let off: what was begun in an earlier round is out of date
}

// Ending returns the response's ending, and makes it at the first call.
func (r *Response) Ending() (ending *Ending) {
	r.withEnding(func(e *Ending) { ending = e })
	return ending
}

// withEnding calls f with the response's ending and r.mu locked.
func (r *Response) withEnding(f func(*Ending)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ending == nil {
		r.ending = &Ending{Response: r}
	}
	f(r.ending)
}

// ifEnding calls f as withEnding does, but makes no ending: without one it does nothing.
func (r *Response) ifEnding(f func(*Ending)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ending != nil {
		f(r.ending)
	}
}

// Moments returns what was planned for the response last, and reports whether that is published.
func (r *Response) Moments() (m Moments, published bool) {
	r.ifEnding(func(e *Ending) { m, published = e.moments, e.published })
	return m, published
}

// Plan records what is planned for the response, whose farewell isn't due any more.
func (r *Response) Plan(m Moments) {
	r.withEnding(func(e *Ending) { e.moments, e.farewellDue = m, false })
}

// Publish lets the handler know of what is planned. From then on a change of the response's kind is
// reported to [Registry.OnChange].
func (r *Response) Publish(m Moments) {
	r.withEnding(func(e *Ending) { e.moments, e.published = m, true })
}

// AllowFarewell lets the response's farewell be sent, which is due now.
func (r *Response) AllowFarewell() {
	r.withEnding(func(e *Ending) { e.farewellDue = true })
}

// Unpublish takes Publish back, and with it a farewell that waits for its boundary. It reports
// false, and leaves all as it is, if the farewell has been sent.
func (r *Response) Unpublish() (done bool) {
	r.withEnding(func(e *Ending) {
		if done = !e.farewellSent; done {
			e.published, e.farewellDue = false, false
		}
	})
	return done
}

// Draining returns a channel that is closed when the response should wind up.
func (r *Response) Draining() (draining <-chan struct{}) {
	r.withEnding(func(e *Ending) {
		if e.draining == nil {
			e.draining = make(chan struct{})
			if e.told {
				close(e.draining)
			}
		}
		draining = e.draining
	})
	return draining
}

// Tell closes the channel that Draining returns.
func (r *Response) Tell() {
	r.withEnding(func(e *Ending) {
		if !e.told && e.draining != nil {
			close(e.draining)
		}
		e.told = true
	})
}

// Untell takes Tell back where nobody has asked for the channel yet: a response that was told as a
// finite one, before its header showed a stream, is told again at its slot.
func (r *Response) Untell() {
	r.ifEnding(func(e *Ending) { e.told = e.told && e.draining != nil })
}

// Asked is what a response's end depends on of the header of its request. It is read on the
// handler's goroutine only: a handler may change that header at any time.
type Asked struct {
	IsMCP          bool   // see [format.IsMCP]
	MCPSession     string // see [format.MCPSession]
	EndsWithStatus bool   // see [format.EndsWithStatus]; left out where the response may be no stream
}

// SetAsked records what the header of the request asks for. It may be called before Begin.
func (r *Response) SetAsked(a Asked) {
	r.withEnding(func(e *Ending) { e.asked = a })
}

// Asked returns what SetAsked has recorded, the zero Asked where it wasn't called.
func (r *Response) Asked() (a Asked) {
	r.ifEnding(func(e *Ending) { a = e.asked })
	return a
}

// OnFarewell sets the handler's own farewell.
func (r *Response) OnFarewell(f func(retry time.Duration) policy.Farewell) {
	r.withEnding(func(e *Ending) { e.own = f })
}

// FarewellFor returns what the client is to be told: the handler's own farewell over the rule's,
// the rule's alone where the handler has none that can be sent, and the zero Farewell where the
// rule's can't be sent either. The error says why something was left out. It runs the handler's
// function, so it must be called without locks.
func (r *Response) FarewellFor(retry time.Duration) (policy.Farewell, error) {
	var own func(time.Duration) policy.Farewell
	r.ifEnding(func(e *Ending) { own = e.own })
	rule := r.Rule()
	var skipped error
	if own != nil {
		f, err := callOwn(own, retry)
		whole := policy.Rule{Farewell: f}.Over(rule).Farewell
		if err = errors.Join(err, whole.Expand(retry).Validate()); err == nil {
			return r.parsable(whole), nil
		}
		skipped = fmt.Errorf("stream: the handler's own: %w", err)
	}
	// A rule that the handler or a Policy of the program's own gave was not checked at start-up.
	if err := rule.Farewell.Expand(retry).Validate(); err != nil {
		return policy.Farewell{}, errors.Join(skipped, fmt.Errorf("stream: the rule's: %w", err))
	}
	return r.parsable(rule.Farewell), skipped
}

// parsable returns f without the default event where the client takes every event for a message of
// its protocol.
func (r *Response) parsable(f policy.Farewell) policy.Farewell {
	if f.Send == policy.SendAll && f.Event == "" && f.Data == "" && r.Asked().IsMCP {
		f.Send = policy.SendRetry
	}
	return f
}

// callOwn calls a handler's function. It runs on a goroutine of the drain, where a panic would end
// the process.
func callOwn(own func(time.Duration) policy.Farewell, retry time.Duration) (f policy.Farewell, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("stream: OnFarewell's function panicked: %v", v)
		}
	}()
	return own(retry), nil
}

// BeginFarewell records that the farewell goes out now, so that nothing takes it back any more, and
// reports that as a change. It returns false where none may go out: the response is no stream any
// more, or was planned anew or let off since it was asked for.
func (r *Response) BeginFarewell() (may bool) {
	first := false
	r.withEnding(func(e *Ending) {
		may = e.farewellDue && r.kindLocked() == policy.Infinite
		first = may && !e.farewellSent
		e.farewellSent = e.farewellSent || may
	})
	if first {
		r.registry.told()
	}
	if may {
		r.registry.changed(r)
	}
	return may
}

// FarewellSent reports whether BeginFarewell has recorded that the farewell goes out.
func (r *Response) FarewellSent() (sent bool) {
	r.ifEnding(func(e *Ending) { sent = e.farewellSent })
	return sent
}

// SetWhy records why the response is about to be told or canceled, in the caller's word.
func (r *Response) SetWhy(why string) {
	r.withEnding(func(e *Ending) { e.why = why })
}

// WhyEnded returns what SetWhy recorded last, and reports whether the farewell has gone out.
func (r *Response) WhyEnded() (why string, farewellSent bool) {
	r.ifEnding(func(e *Ending) { why, farewellSent = e.why, e.farewellSent })
	return why, farewellSent
}

// Refuse records that the handler answers the request by refusing it: its outcome will be Refused.
func (r *Response) Refuse() {
	r.withEnding(func(e *Ending) { e.refused = true })
}

// RefusedByHandler reports whether Refuse was called.
func (r *Response) RefusedByHandler() (refused bool) {
	r.ifEnding(func(e *Ending) { refused = e.refused })
	return refused
}

// AwaitsBoundary reports whether the farewell has still to find its place in the body: behind an
// event, a line or a part.
func (r *Response) AwaitsBoundary() bool {
	switch r.Format() {
	case format.HTTP, format.WebSocket, format.Hijacked:
		return false
	}
	return !r.FarewellSent()
}
