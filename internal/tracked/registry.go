package tracked

import (
	"net/http"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

// An Outcome is how a response ended. Each response has exactly one.
type Outcome uint8

const (
	Completed  Outcome = iota // by itself
	Told                      // its farewell was written and it ended in order; a WebSocket's peer answered
	ToldBroken                // its farewell was written, and then its connection broken to have its client come back
	Unanswered                // its farewell was written, but the WebSocket's peer didn't answer
	Canceled                  // by its context, without a farewell
	Cut                       // its connection was closed, or its body broken off, by force
	Refused                   // the drain or the handler refused the request
	numOutcomes
)

// Counts are the numbers of responses by their [Outcome].
type Counts [numOutcomes]uint64

// A Registry holds the responses that are open. The zero Registry is ready to use. Its methods may
// be called concurrently.
type Registry struct {
	// OnChange is called, on the goroutine that made the change, with a response that the drain has
	// to look at again: its kind changed after its plan was published, or while it is to end by its
	// age; its farewell goes out; it was admitted after Close; or it has ended and is watched. It
	// must not block. Set it before the first response.
	OnChange func(*Response)

	// mu guards what follows, and the fields of Response that say so. Who needs a Response's mu as
	// well locks that second.
	mu     sync.Mutex
	first  *Response
	open   int
	closed bool                   // only late responses are admitted, see Close
	admit  func(policy.Rule) bool // whether a late response with this rule is; nil: none is
	empty  chan struct{}          // what the last Close returned
	before Counts                 // responses that ended before the drain began
	drain  *DrainCounts           // since the drain began; nil: none has
}

// add admits the response, or counts it as refused. mayBeLate is whether it may be admitted after
// Close.
func (g *Registry) add(r *Response, mayBeLate bool) (admitted bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r.sinceDrain, r.sinceClose = g.drain != nil, g.closed
	if r.sinceDrain {
		g.drain.Arrived++
	}
	if g.closed && !(mayBeLate && g.open > 0 && g.admit != nil && g.admit(*r.rule)) {
		g.drain.end(r.Group(), Refused)
		return false
	}
	r.next = g.first
	if r.next != nil {
		r.next.prev = r
	}
	g.first = r
	g.open++
	return true
}

// Refuse counts a request as refused that begins no response.
func (g *Registry) Refuse(req *http.Request, rule *policy.Rule) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.drain != nil {
		g.drain.Arrived++
		g.drain.end(RefusedGroup(req, rule), Refused)
	} else {
		g.before[Refused]++
	}
}

// remove takes the response out, and returns whether its end is watched. Only the first call for a
// response does so, and returns ok as true.
func (g *Registry) remove(r *Response, o Outcome) (watched, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.state == hasEnded {
		return false, false
	}
	r.state, r.outcome = hasEnded, o
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		g.first = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	}
	r.prev, r.next = nil, nil
	if g.drain != nil {
		g.drain.end(r.Group(), o)
	} else {
		g.before[o]++
	}
	if g.open--; g.closed && g.open == 0 {
		close(g.empty)
	}
	return r.watched, true
}

// changed calls OnChange, if it is set. No lock must be held.
func (g *Registry) changed(r *Response) {
	if g.OnChange != nil {
		g.OnChange(r)
	}
}

// BeginCount begins the counts of a drain, and returns the responses that are open, in no order.
// New ones are still admitted.
func (g *Registry) BeginCount() (open []*Response) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.beginCountLocked()
	return g.openLocked()
}

func (g *Registry) beginCountLocked() {
	if g.drain == nil {
		g.drain = &DrainCounts{began: time.Now()}
	}
}

// Close ends admission, but for late responses: one whose rule has Admit, or a task of an open
// response, is still admitted while others are open, if admit reports true for its rule. It is then
// reported to OnChange. admit must be quick, and may be nil for no late ones.
//
// Close returns the responses that are open, in no order, and a channel that is closed once none
// is. A response whose Begin is under way meanwhile is among them, or late, or refused. Close must
// be called once, or again after Reopen.
func (g *Registry) Close(admit func(policy.Rule) bool) (open []*Response, empty <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.beginCountLocked()
	g.closed, g.admit, g.empty = true, admit, make(chan struct{})
	if g.open == 0 {
		close(g.empty)
	}
	return g.openLocked(), g.empty
}

// AdmitNone ends the admission of late responses too, and returns those that are open, in no order.
func (g *Registry) AdmitNone() []*Response {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.admit = nil
	return g.openLocked()
}

// Reopen takes back BeginCount and Close: responses are admitted, and what ended since BeginCount
// counts as ended before.
func (g *Registry) Reopen() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = false
	if g.drain != nil {
		for o, n := range g.drain.Counts {
			g.before[o] += n
		}
		g.drain = nil
	}
}

// Open returns the responses that are open, those first that were entered last.
func (g *Registry) Open() []*Response {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.openLocked()
}

func (g *Registry) openLocked() []*Response {
	open := make([]*Response, 0, g.open)
	for r := g.first; r != nil; r = r.next {
		open = append(open, r)
	}
	return open
}

// Counts returns how many responses ended before the drain began, what was counted since, and those
// that are open, all at one moment.
func (g *Registry) Counts() (before Counts, since DrainCounts, open []*Response) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.before, g.drain.copy(), g.openLocked()
}
