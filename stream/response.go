package stream

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/lastcall-go/lastcall/policy"
)

// epoch is what moments are counted from: they take a third of the room so, and
// one reading of a clock where [time.Now] makes two.
var epoch = time.Now()

// at gives the moment that is d after epoch, by the clock on the wall as it is set
// now: epoch's own may be far from it once a machine has slept.
func at(d time.Duration) time.Time {
	now := time.Now()
	return now.Add(d - now.Sub(epoch))
}

// A Response is one tracked exchange, as its handler sees it. [From] finds it.
// Its methods may be called concurrently, also long after the response ended,
// and on nil.
type Response struct {
	// Immutable after Track.
	registry *Registry
	in       *http.Request // as it came
	began    time.Duration // after epoch

	inner atomic.Pointer[cancellable] // made when somebody first needs to wait on the context

	mu       sync.Mutex   // guards following; never held over I/O, a callback or a wait
	link     Link         // what carries it
	rule     *policy.Rule // which other responses may share: it is replaced, never changed
	name     string       // the pattern that its handler was found by, or its path while that is not known
	parting  *parting     // made when the drain, or the handler, first says something of the response's end
	tag      policy.Kind  // the handler's word
	shape    policy.Kind  // what its header showed
	protocol Protocol
	handed   bool // to another link than it began with
	matched  bool // name is a pattern

	// guarded by the registry's lock for it
	ended      bool
	outcome    Outcome // once ended
	watched    bool
	prev, next *Entry
}

// entry gives the drain's side of r. It is the same memory: an Entry is a Response
// and nothing else, as the next line makes sure.
func (r *Response) entry() *Entry { return (*Entry)(unsafe.Pointer(r)) }

var _ = [1]struct{}{}[unsafe.Sizeof(Entry{})-unsafe.Sizeof(Response{})]

// Kind tells how the drain takes this response: by the handler's [Tag], else by
// its rule, else by what its header showed. It is [policy.Auto] while nothing
// has been said and no header written; the drain takes that as finite.
func (r *Response) Kind() policy.Kind {
	if r == nil {
		return policy.Auto
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kindLocked()
}

func (r *Response) kindLocked() policy.Kind {
	if r.tag != policy.Auto {
		return r.tag
	}
	if r.rule.Kind != policy.Auto {
		return r.rule.Kind
	}
	return r.shape
}

// Tag is the function [Tag] on a response that one has in hand.
func (r *Response) Tag(k policy.Kind) {
	if r == nil || k > policy.Infinite {
		return
	}
	r.change(func() { r.tag = k })
}

// change runs f, which may change what kind of response this is, and lets the
// drain know when it has planned this response already, or has to by its age.
func (r *Response) change(f func()) {
	r.mu.Lock()
	before := r.kindLocked()
	f()
	kind := r.kindLocked()
	replan := r.partingLocked().plan != nil && kind != before || r.rule.MaxAge > 0 && (kind == policy.Infinite || before == policy.Infinite)
	r.mu.Unlock()
	if replan {
		r.registry.changed(r.entry())
	}
}

// Draining is the function [Draining] on a response that one has in hand.
func (r *Response) Draining() <-chan struct{} {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.prepareLocked()
	if p.windUp == nil {
		p.windUp = make(chan struct{})
		if p.told {
			close(p.windUp)
		}
	}
	return p.windUp
}

// Deadline is the function [Deadline] on a response that one has in hand.
func (r *Response) Deadline() (time.Time, bool) {
	if r == nil {
		return time.Time{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	plan := r.partingLocked().plan
	if plan == nil {
		return time.Time{}, false
	}
	return plan.cancelAt, true
}

// Protocol tells what the response speaks, as far as its header has shown.
func (r *Response) Protocol() Protocol {
	if r == nil {
		return HTTP
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.protocol
}

// Route names the response in reports: the pattern that a [http.ServeMux]
// matched, where that is known, else its method and path.
func (r *Response) Route() string {
	if r == nil {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.matched {
		return r.name
	}
	return r.in.Method + " " + r.name
}

// Began is when the response began; the zero time on nil.
func (r *Response) Began() time.Time {
	if r == nil {
		return time.Time{}
	}
	return at(r.began)
}

// Age is the time since the response began.
func (r *Response) Age() time.Duration {
	if r == nil {
		return 0
	}
	return time.Since(epoch) - r.began
}

// Idle is the time since its last byte moved, or since it began where none has.
// A short body that may wait in net/http's buffer for its handler to flush or to
// return counts as not moved. One that the kernel copies (sendfile) counts as one byte at its end.
func (r *Response) Idle() time.Duration {
	if r == nil {
		return 0
	}
	if l := r.entry().Link(); l != nil {
		if last := l.LastByte(); !last.IsZero() {
			return time.Since(last)
		}
	}
	return r.Age()
}

// Refine lays a rule over the one that the response has: what the new one says
// stands, field by field. A handler that knows its client can give it a longer
// Grace or another Farewell so, or a MaxAge up to which its token is good. Once the
// drain has planned the response, its Grace, Spread, Order and Priority come too late,
// and once it has been told all but its Kind. Of a rule that [policy.Rule.Validate]
// finds fault with, times that can't be count as not given, and a Farewell that can't
// be sent gives way to the zero one.
func (r *Response) Refine(rule policy.Rule) {
	if r == nil || rule == (policy.Rule{}) {
		return
	}
	r.change(func() {
		whole := rule.Over(*r.rule)
		r.rule = &whole
	})
}

// Rule gives the rule that the response has now.
func (r *Response) Rule() policy.Rule {
	if r == nil {
		return policy.Rule{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return *r.rule
}

// TrackedBy tells whether the response is in g.
func (r *Response) TrackedBy(g *Registry) bool { return r != nil && r.registry == g }

// OnFarewell is the function [OnFarewell] on a response that one has in hand.
func (r *Response) OnFarewell(f func(retry time.Duration) policy.Farewell) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.prepareLocked().farewell = f
}
