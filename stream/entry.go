package stream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

// A Link is what carries a response: a response writer, or the connection that
// was hijacked from it. The drain speaks to a response through its link, in the
// order of the methods below, each at most once, and each on a goroutine of its
// own: one that a stuck peer holds up holds up nobody else, and the next may come
// before it has returned, but Insist. Only a response that was let off before its
// farewell was out, see [Entry.Unplan], may be asked for it again.
type Link interface {
	// Farewell says goodbye in the link's own protocol, as soon as that can be
	// done without tearing what is on its way. Afterwards the handler's own
	// output is swallowed. Where nothing can be said it does nothing. retry is
	// the client's reconnect slot.
	Farewell(f policy.Farewell, retry time.Duration)
	// Insist gives up what the farewell is still waiting to say beside its
	// shortest form.
	Insist()
	// Finish comes after the response's context was cancelled: no longer wait
	// for the handler.
	Finish()
	// Cut closes the connection by force and frees whoever is blocked on it.
	Cut()
	// LastByte is when a byte last moved; zero where none has. Unlike the rest
	// it may be called at any time.
	LastByte() time.Time
}

// An Entry is a [Response] with the drain's side of it: what package middleware
// does to it. Embed one in whatever carries the exchange, so that a response
// costs one allocation.
type Entry struct{ Response }

// Track begins the response: it sets what an Entry is about and enters it into
// g. It reports false when g admits no more; the entry is then counted as
// refused and must not be used further.
//
// r is the request as it came. It is kept, and for its handler a copy should be
// made, which may do with that as it likes. rule is not copied: responses may share it,
// and nobody may change it any more.
func (e *Entry) Track(g *Registry, r *http.Request, rule *policy.Rule, link Link) bool {
	e.registry, e.in, e.began = g, r, time.Since(epoch)
	e.name, e.rule, e.link = r.URL.Path, rule, link // the path from here, since copies share their URL
	if !g.add(e) {
		return false
	}
	if rule.Kind == policy.Infinite && rule.MaxAge > 0 {
		g.changed(e) // whose kind nothing may ever change
	}
	return true
}

// Request is the request as it came.
func (e *Entry) Request() *http.Request { return e.in }

// Context is the context for the handler's request.
func (e *Entry) Context() context.Context { return (*responseContext)(&e.Response) }

// Settle records what the response's header showed, and the pattern by which its
// handler was found, if that is known.
func (e *Entry) Settle(shape policy.Kind, p Protocol, pattern string) {
	e.change(func() {
		e.shape, e.protocol = shape, p
		if pattern != "" {
			e.name, e.matched = pattern, true
		}
	})
}

// Hand gives the response over to another link, its hijacked connection.
func (e *Entry) Hand(l Link, p Protocol, pattern string) {
	e.mu.Lock()
	e.link, e.handed = l, true
	e.mu.Unlock()
	e.Settle(policy.Infinite, p, pattern)
}

// Link gives what carries the response now.
func (e *Entry) Link() Link {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.link
}

// Plan records when the response's context will be cancelled and its connection
// cut. From then on a change of its kind reaches [Registry.OnChange].
func (e *Entry) Plan(cancelAt, cutAt time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.prepareLocked().plan = &plan{cancelAt, cutAt}
}

// Unplan takes Plan back, with a farewell that may have been asked for: none goes out
// until there is a plan again. It reports false, and leaves all as it is, if the
// farewell is out.
func (e *Entry) Unplan() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.partingLocked().said {
		return false
	}
	if e.parting != nil {
		e.parting.plan = nil
	}
	return true
}

// CutAt gives the moment of the cut, zero where none is planned.
func (e *Entry) CutAt() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	plan := e.partingLocked().plan
	if plan == nil {
		return time.Time{}
	}
	return plan.cutAt
}

// Farewell gives what the client is to be told: the handler's own farewell over the
// rule's, the rule's alone where the handler has none that can be sent, and the zero
// Farewell where that can't be either. The error says why something was left out.
// Call it without locks: it runs the handler's function.
func (e *Entry) Farewell(retry time.Duration) (policy.Farewell, error) {
	e.mu.Lock()
	own, rule := e.partingLocked().farewell, e.rule
	e.mu.Unlock()
	var left error
	if own != nil {
		said, err := ask(own, retry)
		whole := policy.Rule{Farewell: said}.Over(*rule).Farewell
		if err = errors.Join(err, whole.Expand(retry).Validate()); err == nil {
			return whole, nil
		}
		left = fmt.Errorf("stream: the handler's own: %w", err)
	}
	// No start-up has seen a rule that comes from the handler, or from a Policy of the program's own.
	if err := rule.Farewell.Expand(retry).Validate(); err != nil {
		return policy.Farewell{}, errors.Join(left, fmt.Errorf("stream: the rule's: %w", err))
	}
	return rule.Farewell, left
}

// ask runs a handler's function on a goroutine that isn't the handler's, where
// its panic would end the process in the middle of a drain.
func ask(f func(time.Duration) policy.Farewell, retry time.Duration) (said policy.Farewell, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("stream: OnFarewell's function panicked: %v", v)
		}
	}()
	return f(retry), nil
}

// Tell closes the channel that [Draining] gives.
func (e *Entry) Tell() {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.prepareLocked()
	if p.told {
		return
	}
	p.told = true
	if p.windUp != nil {
		close(p.windUp)
	}
}

// Untell takes Tell back, where nobody has asked yet: a response that was told as
// finite, before its header showed a stream, has its turn still to come.
func (e *Entry) Untell() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if p := e.parting; p != nil && p.windUp == nil {
		p.told = false
	}
}

// Say records that the farewell goes out now, so that nothing takes it back any more,
// and reports that as a change. It reports false where none may go out: the response
// has become one that gets none, or its Plan has been taken back.
func (e *Entry) Say() bool {
	e.mu.Lock()
	may := e.partingLocked().plan != nil && e.kindLocked() == policy.Infinite
	if may {
		e.parting.said = true
	}
	e.mu.Unlock()
	if may {
		e.registry.changed(e)
	}
	return may
}

// Said tells whether Say has recorded that the farewell goes out.
func (e *Entry) Said() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.partingLocked().said
}

// AwaitsBoundary tells whether the farewell has still to find its place in the
// body: behind an event, a line or a part.
func (e *Entry) AwaitsBoundary() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return !e.partingLocked().said && (e.protocol == SSE || e.protocol == Lines || e.protocol == Parts)
}

// Committed tells whether the response must end as a stream: its farewell is
// out, or is with a connection that can't be asked to forget it.
func (e *Entry) Committed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.partingLocked().said || e.handed && e.protocol == WebSocket
}

// Cancel cancels the response's context with [ErrDraining].
func (e *Entry) Cancel() {
	inner := e.cancellable()
	inner.drained.Store(true) // first, so that whom the cancel wakes sees it
	inner.cancel(ErrDraining)
}

// Cancelled tells whether the drain has cancelled the response's context.
func (e *Entry) Cancelled() bool {
	inner := e.inner.Load()
	return inner != nil && inner.drained.Load()
}

// Release frees what the context holds in its parent. It is called when the
// handler has returned, at which net/http ends the parent too.
func (e *Entry) Release() {
	if inner := e.inner.Load(); inner != nil {
		inner.cancel(nil)
	}
}

// End takes the response out of its registry with its outcome. Only the first
// call counts, and reports true.
func (e *Entry) End(o Outcome) bool { return e.registry.remove(e, o) }

// Ended tells whether End has been called.
func (e *Entry) Ended() bool {
	_, ended := e.Outcome()
	return ended
}

// Outcome tells how the response ended, if it has.
func (e *Entry) Outcome() (o Outcome, ended bool) {
	s := e.registry.shard(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.outcome, e.ended
}

// Watch has the response's end reported to [Registry.OnChange]. It reports false
// if that has come already.
func (e *Entry) Watch() bool {
	s := e.registry.shard(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	e.watched = true
	return !e.ended
}
