package middleware

import (
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

const (
	// progressEvery is how often a drain logs how it goes.
	progressEvery = time.Second
	// never is a moment that doesn't come.
	never time.Duration = 1 << 62
)

// A drain is one that is under way or over. A Drainer has none while it serves.
type drain struct {
	// Immutable.
	began                   time.Time
	found                   stream.Tally
	announce, work, reserve time.Duration
	patience                time.Duration // after the last cut; the rest of the reserve is for the caller
	done                    chan struct{} // closed when it is over

	// Guarded by Drainer.mu.
	final bool // it can't be taken back
	phase Phase
	ended time.Time
	ends  []End

	// Owned by the conductor.
	ticker  *time.Ticker
	sealAt  time.Duration // when the announcement is over
	end     time.Duration // when all is, at the latest
	sealed  bool          // it is over; what follows is set
	zero    time.Duration // of the plan's moments
	plan    *policy.Plan
	empty   <-chan struct{} // closed when no response is left
	lastCut time.Duration
}

// newDrain takes the times from the Drainer's budget, all of them shortened alike
// where limit comes sooner, unless that is zero.
func newDrain(d *Drainer, limit time.Time) *drain {
	b, share := d.Budget.WithDefaults(), 1.0
	if left := time.Until(limit); !limit.IsZero() && left < b.Total {
		share = max(0, float64(left)/float64(b.Total))
	}
	of := func(t time.Duration) time.Duration { return time.Duration(share * float64(t)) }
	return &drain{
		began: time.Now(), found: d.registry.Counts().Open, phase: Announcing, done: make(chan struct{}),
		announce: of(b.Announce), work: of(b.Total - b.Announce - b.Reserve), reserve: of(b.Reserve), patience: b.Reserve / 2,
	}
}

// next is when there is something to do beside the steps.
func (r *drain) next(noSteps bool) time.Duration {
	switch {
	case !r.sealed:
		return r.sealAt
	case noSteps:
		return r.lastCut + r.patience
	}
	return never
}

// sealed tells whether a drain has got past its announcement: it has planned all
// that is open, and its word is the last.
func (c *conductor) sealed() bool { return c.drain != nil && c.drain.sealed }

// begin takes a drain on, unless it was taken back before it came to that.
func (c *conductor) begin(r *drain) {
	c.d.mu.Lock()
	stands := c.d.current == r
	c.d.mu.Unlock()
	if !stands {
		return
	}
	whole := r.announce + r.work + r.reserve
	c.d.log(slog.LevelInfo, "drain begins",
		"finite", r.found.Finite, "sse", r.found.SSE, "websocket", r.found.WebSocket, "other", r.found.Other,
		"announce", r.announce, "budget", whole)
	c.drain = r
	began := r.began.Sub(c.epoch)
	r.sealAt, r.end = began+r.announce, began+whole
	r.ticker = time.NewTicker(progressEvery)
}

// advance takes the drain from its announcement to its work, and to its end: when
// no response is left, or the last one that was cut has had time to go.
func (c *conductor) advance(now time.Duration) {
	r := c.drain
	switch {
	case r == nil:
	case !r.sealed:
		if now >= r.sealAt {
			c.seal(now)
		}
	case isClosed(r.empty), c.agenda.empty() && now >= r.lastCut+r.patience:
		c.end()
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// hush ends an announcement that there is nobody left to hear.
func (c *conductor) hush() {
	if c.drain != nil && !c.drain.sealed {
		c.drain.sealAt = c.now()
	}
}

// seal ends admission and plans the responses that are open.
func (c *conductor) seal(now time.Duration) {
	r := c.drain
	r.sealed, r.zero, r.end, r.lastCut = true, now, now+r.work+r.reserve, now
	c.enter(Draining)
	r.plan = policy.NewPlan(r.work, rand.Uint64())
	var open []*stream.Entry
	open, r.empty = c.d.registry.Seal()

	var fresh []*step
	rules := make([]policy.Rule, 0, len(open)) // what subjects point to
	var subjects []policy.Subject
	for _, e := range open {
		switch s := c.steps[e]; {
		case s != nil && s.begun():
			c.hasten(s)
			continue
		case s == nil && e.Cancelled():
			continue // it has been cut, and is on its way out
		}
		s := c.step(e)
		// From here on a change of kind is reported, so none is missed.
		s.moments = policy.Moments{Cancel: now + r.work, Cut: now + r.work}
		c.disclose(s)
		s.kind = e.Kind()
		rules = append(rules, e.Rule())
		fresh = append(fresh, s)
		subjects = append(subjects, policy.Subject{Rule: &rules[len(rules)-1], Kind: s.kind, Age: e.Age(), Idle: e.Idle()})
	}
	for i, m := range r.plan.Begin(subjects) {
		c.plan(fresh[i], subjects[i].Kind, after(m, now))
		c.disclose(fresh[i])
	}
}

// hasten brings the moments of a response that was told before the drain into it.
func (c *conductor) hasten(s *step) {
	r, rule := c.drain, s.entry.Rule()
	late := after(r.plan.Late(policy.Subject{Rule: &rule, Kind: s.kind}, 0), r.zero)
	m := &s.moments
	m.Cancel, m.Cut = min(m.Cancel, late.Cancel), min(m.Cut, late.Cut)
	limit := m.Cancel
	if s.next == actCut {
		limit = m.Cut
	}
	c.schedule(s, s.next, min(s.at, limit))
	c.disclose(s)
}

// replan plans a response anew that turned out to be of another kind.
func (c *conductor) replan(s *step, kind policy.Kind) {
	if kind == policy.Infinite {
		s.entry.Untell()
	}
	r, rule := c.drain, s.entry.Rule()
	c.plan(s, kind, after(r.plan.Late(policy.Subject{Rule: &rule, Kind: kind}, c.now()-r.zero), r.zero))
	c.disclose(s)
}

// cutAll goes straight to cutting.
func (c *conductor) cutAll() {
	if c.drain == nil {
		return
	}
	now := c.now()
	if !c.drain.sealed {
		c.seal(now)
	}
	for !c.agenda.empty() {
		s := c.first()
		s.entry.Tell()
		s.entry.Cancel()
		c.cut(s, now)
	}
}

// end gives up those that still run, and closes the drain.
func (c *conductor) end() {
	d, r := c.d, c.drain
	survivors := d.registry.Open()
	for _, e := range survivors {
		end := endOf(e)
		end.Running = true
		d.logEnd("still running; given up", end)
		d.cut(e, end)
	}
	if len(survivors) == 0 {
		d.join(r.patience)
	}
	for e := range c.picked {
		o, _ := e.Outcome()
		c.count(e, o)
	}
	c.agenda, c.drain = newAgenda(), nil
	r.ticker.Stop()
	d.mu.Lock()
	r.phase, r.ended = Done, time.Now()
	if r.final {
		d.mail.close()
	}
	d.mu.Unlock()
	d.logOutcomes()
	close(r.done)
}

// join waits for the acts. They have nobody left to wait for, but for a handler's
// OnFarewell that blocks against its word. Such a one has the wait group for itself:
// who still waits on one must not meet what begins after a Resume.
func (d *Drainer) join(patience time.Duration) {
	acts, joined := d.acts, make(chan struct{})
	d.acts = new(sync.WaitGroup)
	go func() {
		acts.Wait()
		close(joined)
	}()
	enough := time.NewTimer(patience)
	defer enough.Stop()
	select {
	case <-joined:
	case <-enough.C:
		d.log(slog.LevelWarn, "an OnFarewell function blocks; the drain ends without it")
	}
}

// enter notes how far the drain has come, by what befalls a response. While it is
// only announced, such is of a response's age or of a shed.
func (c *conductor) enter(p Phase) {
	if !c.sealed() {
		return
	}
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.drain.phase = max(c.drain.phase, p)
}

// resume takes the drain back, under way or over, unless it is final.
func (c *conductor) resume() error {
	d := c.d
	d.mu.Lock()
	r := d.current
	if r == nil || r.final {
		d.mu.Unlock()
		if r != nil {
			return ErrFinal
		}
		return nil
	}
	d.current = nil
	d.began = make(chan struct{})
	d.isDraining.Store(false)
	d.registry.Reopen()
	d.mu.Unlock()

	var stay []*step
	if c.drain == r {
		r.ticker.Stop()
		c.drain = nil
		for _, s := range c.steps {
			if r.sealed && !s.begun() {
				stay = append(stay, s)
			}
		}
	}
	for _, s := range stay {
		c.spare(s)
	}
	d.log(slog.LevelInfo, "drain taken back", "took", time.Since(r.began))
	return nil
}
