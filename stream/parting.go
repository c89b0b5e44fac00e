package stream

import (
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

// A parting is what is known of a response's end before it comes. Most responses
// end without one.
type parting struct {
	farewell func(retry time.Duration) policy.Farewell // the handler's own
	windUp   chan struct{}                             // made when somebody first asks; closed when told
	plan     *plan                                     // what the drain has in store for it; nil: nothing
	told     bool
	said     bool // its farewell is out
}

type plan struct{ cancelAt, cutAt time.Time }

// partingLocked gives the response's parting as it is. r.mu must be held by the
// caller, here and below.
func (r *Response) partingLocked() parting {
	if r.parting == nil {
		return parting{}
	}
	return *r.parting
}

// prepareLocked gives the response's parting to change it.
func (r *Response) prepareLocked() *parting {
	if r.parting == nil {
		r.parting = new(parting)
	}
	return r.parting
}
