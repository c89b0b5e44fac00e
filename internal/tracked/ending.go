package tracked

import (
	"errors"
	"fmt"
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/policy"
)

// An Ending is what is known of a response's end before it comes. Most responses end without one:
// it is made when the handler first asks for Draining or sets something about the end, or when the
// drain plans it.
type Ending struct {
	Response *Response

	// Guarded by Response.mu.
	requestInfo    RequestInfo
	ownFarewell    func(retry time.Duration) policy.Farewell // what OnFarewell set
	draining       chan struct{}                             // made when the handler first asks for it
	drainingClosed bool                                      // draining is closed, or will be made closed
	farewellDue    bool                                      // the farewell's moment has come
	farewellSent   bool                                      // it goes out, or has gone out
	refused        bool                                      // Refuse was called
	why            string                                    // what SetWhy recorded last
	moments        Moments
	published      bool // see Publish

	Schedule // owned by the scheduler's goroutine
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

// A Schedule is what the scheduler of package middleware does next about a response.
type Schedule struct {
	Stage          int         // what is done next, a constant of the scheduler's
	At             time.Time   // when that is done
	Queued         int         // the place in the queue, from 1; zero: it is in none
	Kind           policy.Kind // that its moments were planned for
	AgeNumber      uint64      // among the streams that end by their age; zero: it hasn't been given one
	Writing        bool        // a worker writes the farewell, or has been asked to
	MessageDropped bool        // a worker has been asked to send the farewell without its message
	CutMoved       bool        // the cut was put off because the machine was behind
	Round          int         // goes up when it leaves the queue: what a worker began before is out of date
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

// Moments returns what Plan or Publish recorded last, and reports whether that is published.
func (r *Response) Moments() (m Moments, published bool) {
	r.ifEnding(func(e *Ending) { m, published = e.moments, e.published })
	return m, published
}

// Plan records what is planned for the response, and takes an earlier AllowFarewell back.
func (r *Response) Plan(m Moments) {
	r.withEnding(func(e *Ending) { e.moments, e.farewellDue = m, false })
}

// Publish records what is planned for the response, and lets the handler know of it. From then on a
// change of the response's kind is reported to [Registry.OnChange].
func (r *Response) Publish(m Moments) {
	r.withEnding(func(e *Ending) { e.moments, e.published = m, true })
}

// AllowFarewell records that the farewell is due: BeginFarewell allows it from now on.
func (r *Response) AllowFarewell() {
	r.withEnding(func(e *Ending) { e.farewellDue = true })
}

// Unpublish takes Publish and AllowFarewell back. It reports false, and leaves all as it is, if the
// farewell has been sent.
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
			if e.drainingClosed {
				close(e.draining)
			}
		}
		draining = e.draining
	})
	return draining
}

// CloseDraining closes the channel that Draining returns.
func (r *Response) CloseDraining() {
	r.withEnding(func(e *Ending) {
		if !e.drainingClosed && e.draining != nil {
			close(e.draining)
		}
		e.drainingClosed = true
	})
}

// ReopenDraining takes CloseDraining back if nobody has asked for the channel yet: a response that
// was finite then, before its header showed a stream, is told at its slot.
func (r *Response) ReopenDraining() {
	r.ifEnding(func(e *Ending) { e.drainingClosed = e.drainingClosed && e.draining != nil })
}

// A RequestInfo is what a response's end depends on of the header of its request. It is copied from
// there on the handler's goroutine, since a handler may change that header at any time.
type RequestInfo struct {
	IsMCP          bool   // see [format.IsMCP]
	MCPSession     string // see [format.MCPSession]
	EndsWithStatus bool   // see [format.EndsWithStatus]; false as long as the response may be no stream
}

// SetRequestInfo records what the drain has to know of the request's header. It may be called
// before Begin.
func (r *Response) SetRequestInfo(i RequestInfo) {
	r.withEnding(func(e *Ending) { e.requestInfo = i })
}

// RequestInfo returns what SetRequestInfo recorded last, or the zero RequestInfo.
func (r *Response) RequestInfo() (i RequestInfo) {
	r.ifEnding(func(e *Ending) { i = e.requestInfo })
	return i
}

// OnFarewell sets the function that returns the handler's own farewell, or nil for none.
func (r *Response) OnFarewell(f func(retry time.Duration) policy.Farewell) {
	r.withEnding(func(e *Ending) { e.ownFarewell = f })
}

// FarewellFor returns what a client with this reconnect slot is to be told: the handler's own
// farewell over the rule's. Where the handler has none, or they can't be sent together, that is the
// rule's alone, and where that can't be sent either the zero Farewell. The error says why something
// was left out. FarewellFor calls the handler's function, so it must be called without locks.
func (r *Response) FarewellFor(retry time.Duration) (policy.Farewell, error) {
	var own func(time.Duration) policy.Farewell
	r.ifEnding(func(e *Ending) { own = e.ownFarewell })
	rule := r.Rule()
	var skipped error
	if own != nil {
		f, err := callOwn(own, retry)
		merged := policy.Rule{Farewell: f}.Over(rule).Farewell
		if err = errors.Join(err, merged.Expand(retry).Validate()); err == nil {
			return r.forClient(merged), nil
		}
		skipped = fmt.Errorf("stream: the handler's own: %w", err)
	}
	// A rule that the handler or a Policy of the program's own gave was not checked at start-up.
	if err := rule.Farewell.Expand(retry).Validate(); err != nil {
		return policy.Farewell{}, errors.Join(skipped, fmt.Errorf("stream: the rule's: %w", err))
	}
	return r.forClient(rule.Farewell), skipped
}

// forClient returns f without the default event if the client would take that for a message of its
// protocol, as those of MCP do.
func (r *Response) forClient(f policy.Farewell) policy.Farewell {
	if f.Send == policy.SendAll && f.Event == "" && f.Data == "" && r.RequestInfo().IsMCP {
		f.Send = policy.SendRetry
	}
	return f
}

// callOwn calls a handler's function. It recovers a panic, which would end the process, since this
// is no goroutine of net/http's.
func callOwn(own func(time.Duration) policy.Farewell, retry time.Duration) (f policy.Farewell, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("stream: OnFarewell's function panicked: %v", v)
		}
	}()
	return own(retry), nil
}

// BeginFarewell records that the farewell goes out now, so that nothing takes it back any more, and
// reports that to [Registry.OnChange]. It returns false if no farewell may go out: the response is
// no stream any more, or AllowFarewell was taken back.
func (r *Response) BeginFarewell() (may bool) {
	first := false
	r.withEnding(func(e *Ending) {
		may = e.farewellDue && r.kindLocked() == policy.Infinite
		first = may && !e.farewellSent
		e.farewellSent = e.farewellSent || may
	})
	if first {
		r.registry.countFarewell()
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

// SetWhy records why the response is about to be told or canceled, in any words of the caller's.
func (r *Response) SetWhy(why string) {
	r.withEnding(func(e *Ending) { e.why = why })
}

// WhyEnded returns what SetWhy recorded last, empty for nothing, and what FarewellSent does.
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

// AwaitsBoundary reports whether the response is in a format whose farewell waits for a boundary of
// the body, and the farewell has not been sent.
func (r *Response) AwaitsBoundary() bool {
	switch r.Format() {
	case format.HTTP, format.WebSocket, format.Hijacked:
		return false
	}
	return !r.FarewellSent()
}
