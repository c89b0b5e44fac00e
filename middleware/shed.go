package middleware

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// ShedOptions say which part of the streams [Drainer.Shed] tells goodbye, and how. Either Fraction
// or N must be set, not both.
type ShedOptions struct {
	// Fraction of the streams that are open, from 0 to 1, rounded up.
	Fraction float64
	// N is how many of them; fewer where there are fewer.
	N int
	// Match reports which streams may be picked; nil: all. It is called once for each stream that
	// is open, on the goroutine that called Shed.
	Match func(*stream.Response) bool
	// Rule goes before each stream's own, as one given to [Graceful] would: its Spread paces them,
	// its Order says which of them are picked and told first, its Farewell what they are told. Its
	// Kind, Grace, Priority and MaxAge are ignored, and so is a Grace of the streams' own: they are
	// told now.
	Rule policy.Rule
}

// ShedResult is what has become of the streams that one call of [Drainer.Shed] picked.
type ShedResult struct {
	Picked   int // by that call
	Outcomes     // of those that have ended since
}

// ErrDrainBegun is what [Drainer.Shed] returns when a drain has begun.
var ErrDrainBegun = errors.New("middleware: Shed: the drain has begun, and tells every stream")

// Shed tells a part of the streams goodbye, at the pace of their rules, while the server goes on
// serving: to move clients to replicas that are new, or to rehearse a drain on a few of them.
// Streams that have been told already, by their age or by another Shed, and those whose rule leaves
// them alone to the end, are not picked.
//
// It waits until all that it picked have ended, and returns how. When ctx ends first, those not yet
// told stay, those that were told end by their own times, and the error wraps that of ctx. Its
// deadline does not change the pace. A drain that begins meanwhile ends the picked streams at its
// own moments. Once one has begun, Shed picks none and returns [ErrDrainBegun]. For invalid options
// it returns an error that says what is wrong with each.
//
// Clients come back to where their load balancer sends them. One that balances connections, not
// requests, would send those of an HTTP/1.1 event stream back over the same connection, so that is
// closed when the response has ended, provided that [Drainer.ConnContext] is set. An HTTP/2
// connection stays, and so does its client.
//
// Shed may be called concurrently with everything else.
func (d *Drainer) Shed(ctx context.Context, o ShedOptions) (ShedResult, error) {
	d.init()
	if err := o.check(); err != nil {
		return ShedResult{}, err
	}
	if err := ctx.Err(); err != nil {
		return ShedResult{}, endedEarly(err)
	}
	o.Rule.Kind, o.Rule.Grace, o.Rule.Priority, o.Rule.MaxAge = 0, 0, 0, 0
	shed := &shedCall{ShedOptions: o, done: make(chan struct{})}
	var matching []*tracked.Response
	for _, r := range d.registry.Open() {
		if r.Kind() == policy.Infinite && (o.Match == nil || o.Match((*stream.Response)(r))) {
			matching = append(matching, r)
		}
	}
	if !d.scheduler.post(func() { d.scheduler.beginShed(shed, matching) }) {
		return ShedResult{}, ErrDrainBegun
	}
	select {
	case <-shed.done:
	case <-ctx.Done():
		d.scheduler.post(func() { d.scheduler.callOff(shed, ctx.Err()) })
		<-shed.done
	}
	return ShedResult{Picked: shed.picked, Outcomes: outcomesOf(shed.outcomes)}, shed.err
}

func endedEarly(cause error) error { return fmt.Errorf("middleware: Shed: ended early: %w", cause) }

func (o ShedOptions) check() error {
	var errs []error
	if !(o.Fraction >= 0 && o.Fraction <= 1) { // also for NaN
		errs = append(errs, fmt.Errorf("middleware: ShedOptions.Fraction is %v; use 0 to 1", o.Fraction))
	}
	if o.N < 0 {
		errs = append(errs, fmt.Errorf("middleware: ShedOptions.N is %d; use zero or more", o.N))
	}
	if (o.Fraction == 0) == (o.N == 0) {
		errs = append(errs, fmt.Errorf("middleware: ShedOptions.Fraction is %v and N is %d; set one of them", o.Fraction, o.N))
	}
	return errors.Join(append(errs, o.Rule.Validate())...)
}

// count returns how many of n streams are to be picked.
func (o ShedOptions) count(n int) int {
	if o.N > 0 {
		return min(o.N, n)
	}
	const tiny = 0x1p-50 // without it 0.07 of 100 would be 8: the product is a little over 7
	return int(math.Ceil(o.Fraction * float64(n) * (1 - tiny)))
}

// A shedCall is one call of Shed.
type shedCall struct {
	ShedOptions               // with a Rule without what is ignored
	done        chan struct{} // closed when what follows is final

	// Owned by the scheduler.
	picked   int
	open     int // how many of those that were picked have not ended
	outcomes tracked.Counts
	err      error
}

// beginShed picks streams and plans their ends.
func (s *scheduler) beginShed(shed *shedCall, matching []*tracked.Response) {
	if s.d.draining() {
		shed.err = ErrDrainBegun
		close(shed.done)
		return
	}
	var open []*tracked.Response
	var subjects []policy.Subject
	for _, r := range matching {
		rule := shed.Rule.Over(r.Rule())
		e := r.Ending()
		told := e.Queued > 0 && irrevocable(e) || r.Canceled()
		if r.Kind() != policy.Infinite || rule.Grace == policy.ToTheEnd || s.picked[r] != nil || told {
			continue
		}
		rule.Grace, rule.Priority = 0, 0
		open, subjects = append(open, r), append(subjects, subject(r, policy.Infinite, rule))
	}
	plan := policy.NewPlan(math.MaxInt64, rand.Uint64())
	var chosen []policy.Subject
	var picked []*tracked.Response
	for _, i := range plan.Pick(subjects, shed.Rule.Order, shed.count(len(subjects))) {
		if r := open[i]; r.WatchEnd() {
			chosen, picked = append(chosen, subjects[i]), append(picked, r)
		}
	}
	now := time.Now()
	for i, m := range plan.Begin(chosen) {
		e := picked[i].Ending()
		m := tracked.Add(now, m)
		endsByAge := e.Queued > 0 && !m.Farewell.Before(momentsOf(e).Farewell)
		if !endsByAge {
			s.plan(e, policy.Infinite, m)
		}
		s.picked[picked[i]] = shed
	}
	shed.open, shed.picked = len(picked), len(picked)
	if len(picked) == 0 {
		close(shed.done)
	}
}

// countShed notes the end of a stream that may have been picked.
func (s *scheduler) countShed(r *tracked.Response, o tracked.Outcome) {
	if shed := s.picked[r]; shed != nil {
		shed.outcomes[o]++
		s.forget(r, shed)
	}
}

// unpick takes a stream that may have been picked from those that Shed waits for and counts.
func (s *scheduler) unpick(r *tracked.Response) {
	if shed := s.picked[r]; shed != nil {
		shed.picked--
		s.forget(r, shed)
	}
}

// forget takes a stream from those that were picked. With the last of them its call of Shed is
// done.
func (s *scheduler) forget(r *tracked.Response, shed *shedCall) {
	delete(s.picked, r)
	if shed.open--; shed.open == 0 && shed.err == nil { // else callOff closes it
		close(shed.done)
	}
}

// callOff ends a call of Shed early: streams that have not been told yet go on, and it waits for
// the others no longer.
func (s *scheduler) callOff(shed *shedCall, cause error) {
	if isClosed(shed.done) {
		return
	}
	shed.err = endedEarly(cause)
	for r, call := range s.picked {
		if call != shed {
			continue
		}
		if e := r.Ending(); e.Queued == 0 || irrevocable(e) || s.hasPlan() || !s.unplan(e) {
			delete(s.picked, r)
		}
	}
	close(shed.done)
}
