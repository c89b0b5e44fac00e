package middleware

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A Share says which part of the streams [Drainer.Shed] says goodbye to, and how.
// Either Fraction or N must be set, not both.
type Share struct {
	// Fraction of the streams that are open, from 0 to 1, rounded up.
	Fraction float64
	// N is how many of them; fewer where there are fewer.
	N int
	// Match tells which streams come into question; nil: all. It is called once for
	// each stream that is open, on the goroutine that called Shed.
	Match func(*stream.Response) bool
	// Rule lies over each stream's own, as one given to [Graceful] would: with its
	// Spread they are paced, its Order says which of them are picked and told
	// first, its Farewell what they are told. Its Kind, Grace, Priority and MaxAge
	// say nothing here, and no more does a Grace of their own: they are told now.
	Rule policy.Rule
}

// Shed is what has become of the streams that one call of [Drainer.Shed] picked.
type Shed struct {
	Picked          int // by that call
	stream.Outcomes     // of those that have ended since
}

// ErrDrainBegun is what [Drainer.Shed] returns when a drain has begun.
var ErrDrainBegun = errors.New("middleware: Shed: the drain has begun, and tells every stream")

// Shed says goodbye to a part of the streams, at the pace of their rules, while the
// server goes on serving: to move clients to replicas that are new, or to rehearse a
// drain on a few of them. Streams that have been told already, by their age or by
// another Shed, and those that their rule leaves alone to the end, are not picked.
//
// It waits until all that it picked have ended, and tells how. When ctx ends first,
// those not yet told stay, those that were told end by their own clocks, and the
// error wraps that of ctx; the pace doesn't look at its deadline. When a drain begins,
// it takes over, and Shed returns as they end in it. Once one has begun, Shed picks
// nobody and returns [ErrDrainBegun]; for a Share that can't be it returns an error
// that says why.
//
// Clients come back to where their load balancer sends them. One that balances
// connections, not requests, would send those of an HTTP/1.1 event stream back over
// the same connection, so that is closed when the response has ended, where
// [Drainer.ConnContext] has shown it to us. An HTTP/2 connection stays, and so does
// its client.
//
// Shed may be called concurrently with everything else.
func (d *Drainer) Shed(ctx context.Context, share Share) (Shed, error) {
	d.init()
	if err := share.check(); err != nil {
		return Shed{}, err
	}
	if err := ctx.Err(); err != nil {
		return Shed{}, endedEarly(err)
	}
	r := &shed{share: share, rule: share.Rule, done: make(chan struct{})}
	r.rule.Kind, r.rule.Grace, r.rule.Priority, r.rule.MaxAge = 0, 0, 0, 0
	var matching []*stream.Entry
	for _, e := range d.registry.Open() {
		if e.Kind() == policy.Infinite && (share.Match == nil || share.Match(&e.Response)) {
			matching = append(matching, e)
		}
	}
	if !d.post(func(c *conductor) { c.shed(r, matching) }) {
		return Shed{}, ErrDrainBegun
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		d.post(func(c *conductor) { c.callOff(r, ctx.Err()) })
		<-r.done
	}
	return r.result, r.err
}

func endedEarly(cause error) error { return fmt.Errorf("middleware: Shed: ended early: %w", cause) }

func (s Share) check() error {
	var errs []error
	if !(s.Fraction >= 0 && s.Fraction <= 1) {
		errs = append(errs, fmt.Errorf("middleware: Share.Fraction is %v; use 0 to 1", s.Fraction))
	}
	if s.N < 0 {
		errs = append(errs, fmt.Errorf("middleware: Share.N is %d; use zero or more", s.N))
	}
	if (s.Fraction == 0) == (s.N == 0) {
		errs = append(errs, fmt.Errorf("middleware: Share.Fraction is %v and Share.N is %d; set one of them", s.Fraction, s.N))
	}
	return errors.Join(append(errs, s.Rule.Validate())...)
}

// of is how many of n streams the share is.
func (s Share) of(n int) int {
	if s.N > 0 {
		return min(s.N, n)
	}
	const hair = 0x1p-50 // by which 7 % of 100 comes out over 7 in binary
	return int(math.Ceil(s.Fraction * float64(n) * (1 - hair)))
}

// A shed is one call of Shed.
type shed struct {
	share Share
	rule  policy.Rule   // its own, without what says nothing
	done  chan struct{} // closed when what follows is final

	// Owned by the conductor.
	open   int // of those that were picked
	result Shed
	err    error
}

// shed picks streams and plans their ends.
func (c *conductor) shed(r *shed, matching []*stream.Entry) {
	if c.d.draining() {
		r.err = ErrDrainBegun
		close(r.done)
		return
	}
	rules := make([]policy.Rule, 0, len(matching)) // what subjects point to
	var open []*stream.Entry
	var subjects []policy.Subject
	for _, e := range matching {
		rule := r.rule.Over(e.Rule())
		if s := c.steps[e]; e.Kind() != policy.Infinite || rule.Grace == policy.ToTheEnd || c.picked[e] != nil || s != nil && s.begun() || e.Cancelled() {
			continue
		}
		rule.Grace, rule.Priority = 0, 0
		rules = append(rules, rule)
		open = append(open, e)
		subjects = append(subjects, policy.Subject{Rule: &rules[len(rules)-1], Kind: policy.Infinite, Age: e.Age(), Idle: e.Idle()})
	}
	plan := policy.NewPlan(never, rand.Uint64())
	var picked []policy.Subject
	var entries []*stream.Entry
	for _, i := range plan.Pick(subjects, r.rule.Order, r.share.of(len(subjects))) {
		if e := open[i]; e.Watch() {
			picked, entries = append(picked, subjects[i]), append(entries, e)
		}
	}
	now := c.now()
	for i, m := range plan.Begin(picked) {
		s := c.step(entries[i])
		if m = after(m, now); s.index < 0 || m.Farewell < s.moments.Farewell {
			c.plan(s, policy.Infinite, m)
		} // else it comes of age before
		c.picked[s.entry] = r
	}
	r.open, r.result.Picked = len(picked), len(picked)
	r.settle()
}

// count notes the end of a stream that may have been picked.
func (c *conductor) count(e *stream.Entry, o stream.Outcome) {
	if r := c.picked[e]; r != nil {
		r.result.Add(o)
		c.leave(r, e)
	}
}

// unpick lets a stream off that may have been picked.
func (c *conductor) unpick(e *stream.Entry) {
	if r := c.picked[e]; r != nil {
		r.result.Picked--
		c.leave(r, e)
	}
}

func (c *conductor) leave(r *shed, e *stream.Entry) {
	delete(c.picked, e)
	r.open--
	r.settle()
}

func (r *shed) settle() {
	if r.open == 0 && r.err == nil {
		close(r.done)
	}
}

// callOff lets off those that have not been told yet, and waits for the rest no
// longer.
func (c *conductor) callOff(r *shed, cause error) {
	if isClosed(r.done) {
		return
	}
	r.err = endedEarly(cause)
	for e, of := range c.picked {
		if of != r {
			continue
		}
		if s := c.steps[e]; s == nil || s.begun() || c.sealed() || !c.spare(s) {
			delete(c.picked, e)
		}
	}
	close(r.done)
}
