// Package tracked holds the open responses of a server: what is known of each one from before its
// handler runs until no byte of it can be written any more, and when a drain will end it.
//
// Package stream has for handlers what they may know and set of a [Response]; package middleware
// uses the rest. Nothing here writes to a connection, starts a goroutine or keeps a timer.
package tracked

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/policy"
)

// A Carrier is what carries a response to its client: a response writer, or the connection that was
// hijacked from it. The drain calls Farewell, DropMessage, Finish and Cut in this order, on
// goroutines of its own. They may block on the peer: a later one may be called before an earlier
// one has returned.
type Carrier interface {
	// Farewell tells the client goodbye in the format of the response, as soon as that can be done
	// without tearing what is on its way. What the handler writes afterwards is swallowed. Where
	// nothing can be told it does nothing. retry is the client's reconnect slot. It is called again
	// only if the response was unpublished or planned anew meanwhile, see [Response.BeginFarewell].
	Farewell(f policy.Farewell, retry time.Duration)
	// DropMessage lets a WebSocket's farewell that still waits for a boundary go out without its
	// message.
	DropMessage()
	// Finish is called once the response's context is canceled: the handler's reads end.
	Finish()
	// Cut closes the connection by force and frees whoever is blocked on it.
	Cut()
	// LastByte returns when a byte last moved, zero where none has. It may be called at any time.
	LastByte() time.Time
}

// A Response is one tracked exchange, or a task that a handler has handed over. Embed it in what
// carries the response, so that both cost one allocation, and call Begin or BeginTask. Its methods
// may be called concurrently, also after it has ended.
type Response struct {
	// Immutable after Begin.
	registry *Registry
	request  *http.Request // as it came
	began    time.Duration // since epoch

	cancelable atomic.Pointer[cancelableContext] // made when somebody first needs to wait on the context

	mu      sync.Mutex // guards following; never held over I/O, a callback or a wait
	carrier Carrier
	rule    *policy.Rule // responses may share it: it is replaced, never changed
	route   string       // the pattern that found the handler; while matched is false, the URL's path as it came
	format  string       // a constant of package format
	ending  *Ending      // nil until it is needed
	tag     policy.Kind  // what kind of response the handler says it is
	shape   policy.Kind  // what kind of response its header showed
	matched bool         // route is a pattern

	// Guarded by the registry's lock.
	state      state
	outcome    Outcome
	watched    bool // its end is reported to Registry.OnChange
	sinceDrain bool // it came after a drain had begun; never changed
	sinceClose bool // it came after Registry.Close; never changed
	prev, next *Response
}

// A state is how near a response is to its end.
type state uint8

const (
	isOpen   state = iota
	isEnding       // ClaimEnd was called
	hasEnded
)

// Begin begins the response and enters it into g. It reports false when g admits no more. The
// response then counts as refused; what is known of it may still be read, nothing set.
//
// req is the request as it came; it is kept. rule may be shared and must not be changed any more.
func (r *Response) Begin(g *Registry, req *http.Request, rule *policy.Rule, c Carrier) bool {
	r.format = format.HTTP
	return r.begin(g, req, rule, c, rule.Admit)
}

// BeginTask is Begin for a task. Reports name it by name. ctx is the context in which it was handed
// over: while that belongs to a response that is open, the task is admitted after Registry.Close.
func (r *Response) BeginTask(g *Registry, ctx context.Context, name string, rule *policy.Rule, c Carrier) bool {
	r.format = format.Task
	req := &http.Request{Method: "task", Pattern: "task " + name, URL: &url.URL{Path: name}}
	mayBeLate := false
	if parent := From(ctx); parent.In(g) {
		_, ended := parent.Outcome()
		mayBeLate = !ended
	}
	return r.begin(g, req.WithContext(ctx), rule, c, mayBeLate)
}

func (r *Response) begin(g *Registry, req *http.Request, rule *policy.Rule, c Carrier, mayBeLate bool) bool {
	r.registry, r.request, r.began = g, req, time.Since(epoch)
	r.carrier, r.rule = c, rule
	r.route = req.URL.Path          // now, since handlers may change the URL, which they share
	r.setPatternLocked(req.Pattern) // which a ServeMux outside has matched
	admitted := g.add(r, mayBeLate)
	if admitted && (r.sinceClose || rule.Kind == policy.Infinite && rule.MaxAge > 0) {
		g.changed(r) // later perhaps nothing changes its kind, which would be reported
	}
	return admitted
}

type responseKey struct{}

// From returns the response that a request's context belongs to, or nil.
func From(ctx context.Context) *Response {
	r, _ := ctx.Value(responseKey{}).(*Response)
	return r
}

// In reports whether the response, which may be nil, was entered into g.
func (r *Response) In(g *Registry) bool { return r != nil && r.registry == g }

// SinceClose reports whether the response was admitted after [Registry.Close].
func (r *Response) SinceClose() bool { return r.sinceClose }

// SinceDrain reports whether the response came after a drain had begun, also of one that was
// refused.
func (r *Response) SinceDrain() bool { return r.sinceDrain }

// Request returns the request as it came.
func (r *Response) Request() *http.Request { return r.request }

// epoch is what the beginnings of responses count from. A duration since then is smaller than a
// time.Time, and quicker to get.
var epoch = time.Now()

// Age returns the time since the response began.
func (r *Response) Age() time.Duration { return time.Since(epoch) - r.began }

// Began returns when the response began.
func (r *Response) Began() time.Time { return time.Now().Add(-r.Age()) }

// CompareBegan compares when two responses began: the older one comes first.
func (r *Response) CompareBegan(other *Response) int { return cmp.Compare(r.began, other.began) }

// Idle returns the time since a byte last moved, or since the response began where none has.
func (r *Response) Idle() time.Duration {
	if last := r.Carrier().LastByte(); !last.IsZero() {
		return time.Since(last)
	}
	return r.Age()
}

// Carrier returns what carries the response now.
func (r *Response) Carrier() Carrier {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.carrier
}

// Format returns the response's format, a constant of package format.
func (r *Response) Format() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.format
}

// Rule returns the rule that the response has now.
func (r *Response) Rule() policy.Rule {
	r.mu.Lock()
	defer r.mu.Unlock()
	return *r.rule
}

// Kind returns the kind that the drain takes the response for: what the handler tagged it as, else
// what its rule says, else what its header showed.
func (r *Response) Kind() policy.Kind {
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

// lock locks mu for a change of what the response's kind depends on, and returns its kind before.
func (r *Response) lock() (before policy.Kind) {
	r.mu.Lock()
	return r.kindLocked()
}

// unlock unlocks mu after such a change. If that makes the response one of another kind after its
// plan was published, or if it is or was a stream that ends by its age, unlock reports it to
// [Registry.OnChange].
func (r *Response) unlock(before policy.Kind) {
	after := r.kindLocked()
	report := before != after && r.ending != nil && r.ending.published ||
		r.rule.MaxAge > 0 && (before == policy.Infinite || after == policy.Infinite)
	r.mu.Unlock()
	if report {
		r.registry.changed(r)
	}
}

// Tag records what kind of response the handler says this is. [policy.Auto] takes an earlier Tag
// back. An unknown kind is ignored.
func (r *Response) Tag(k policy.Kind) {
	if k <= policy.Infinite {
		before := r.lock()
		r.tag = k
		r.unlock(before)
	}
}

// Refine lays rule over the one that the response has.
func (r *Response) Refine(rule policy.Rule) {
	if rule != (policy.Rule{}) {
		before := r.lock()
		merged := rule.Over(*r.rule)
		r.rule = &merged
		r.unlock(before)
	}
}

// SetShape records what the response's header showed: its kind, its format, and the pattern by
// which its handler was found, if that is known. It returns the kind that the drain takes it for,
// and the format that its rule specifies.
func (r *Response) SetShape(kind policy.Kind, format, pattern string) (takenFor policy.Kind, specified policy.Format) {
	before := r.lock()
	r.setShapeLocked(kind, format, pattern)
	takenFor, specified = r.kindLocked(), r.rule.Format
	r.unlock(before)
	return takenFor, specified
}

// SetFormat records the format of the response, a constant of package format.
func (r *Response) SetFormat(format string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.format = format
}

// SetCarrier records that c carries the response from now on, which is a stream in this format, and
// the pattern as SetShape does.
func (r *Response) SetCarrier(c Carrier, format, pattern string) {
	before := r.lock()
	r.carrier = c
	r.setShapeLocked(policy.Infinite, format, pattern)
	r.unlock(before)
}

// SetPattern records the pattern by which the response's handler was found, if that is known.
func (r *Response) SetPattern(pattern string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setPatternLocked(pattern)
}

// SetPatternIfUnknown is SetPattern for a response whose pattern is not known yet.
func (r *Response) SetPatternIfUnknown(pattern string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.matched {
		r.setPatternLocked(pattern)
	}
}

func (r *Response) setShapeLocked(kind policy.Kind, format, pattern string) {
	r.shape, r.format = kind, format
	r.setPatternLocked(pattern)
}

func (r *Response) setPatternLocked(pattern string) {
	if pattern != "" {
		r.route, r.matched = pattern, true
	}
}

// End takes the response out of its registry with its outcome. Only the first call counts, and
// reports true.
func (r *Response) End(o Outcome) bool {
	watched, ok := r.registry.remove(r, o)
	if watched {
		r.registry.changed(r)
	}
	return ok
}

// ClaimEnd reserves the end of the response for its first caller, who must call End. Until then the
// response is open. To all others, and when the response has ended, it reports false.
func (r *Response) ClaimEnd() bool {
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	if r.state != isOpen {
		return false
	}
	r.state = isEnding
	return true
}

// Outcome returns how the response ended, and reports whether it has.
func (r *Response) Outcome() (o Outcome, ended bool) {
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	return r.outcome, r.state == hasEnded
}

// WatchEnd has the response's end reported to [Registry.OnChange]. It reports false if the response
// has ended already.
func (r *Response) WatchEnd() bool {
	r.registry.mu.Lock()
	defer r.registry.mu.Unlock()
	r.watched = true
	return r.state != hasEnded
}
