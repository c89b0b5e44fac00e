package middleware

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// A drain is one that is under way or over. A Drainer has none while it serves.
type drain struct {
	// Immutable.
	began                   time.Time
	found                   Tally
	announce, work, reserve time.Duration
	cutWait                 time.Duration // of the reserve, what those that were cut have to return
	done                    chan struct{} // closed when the drain is over

	// Guarded by Drainer.mu.
	final   bool // it can't be taken back
	phase   Phase
	ended   time.Time
	aborted []Aborted

	// Owned by the scheduler.
	ticker      *time.Ticker // of the lines in the log
	announceEnd time.Time
	end         time.Time       // when all is over, at the latest
	plan        *policy.Plan    // nil until the announcement is over; what follows is set then
	start       time.Time       // what the plan's moments count from
	empty       <-chan struct{} // closed when no response is left
	lastCut     time.Time
}

// newDrain takes the times from the Drainer's budget, all of them shortened alike where limit comes
// sooner, unless that is zero.
func newDrain(d *Drainer, limit time.Time) *drain {
	b, share := d.Budget.WithDefaults(), 1.0
	if left := time.Until(limit); !limit.IsZero() && left < b.Total {
		share = max(0, float64(left)/float64(b.Total))
	}
	of := func(t time.Duration) time.Duration { return time.Duration(share * float64(t)) }
	return &drain{
		began: time.Now(), found: tally(d.registry.Open()), phase: Announcing, done: make(chan struct{}),
		announce: of(b.Announce), work: of(b.Total - b.Announce - b.Reserve), reserve: of(b.Reserve), cutWait: b.Reserve / 2,
	}
}

// planning reports whether a drain is past its announcement: admission is closed and the open
// responses are planned.
func (s *scheduler) planning() bool { return s.drain != nil && s.drain.plan != nil }

// next returns when the drain itself has something to do, zero for never. While responses are
// scheduled, their stages carry it on.
func (dr *drain) next(scheduled bool) time.Time {
	switch {
	case dr.plan == nil:
		return dr.announceEnd
	case scheduled:
		return time.Time{}
	}
	return dr.lastCut.Add(dr.cutWait)
}

// begin takes a drain on, unless it was taken back before it came to that.
func (s *scheduler) begin(dr *drain) {
	s.d.mu.Lock()
	stands := s.d.current == dr
	s.d.mu.Unlock()
	if !stands {
		return
	}
	whole := dr.announce + dr.work + dr.reserve
	s.d.log(slog.LevelInfo, "drain begins",
		"finite", dr.found.Finite, "sse", dr.found.SSE, "websocket", dr.found.WebSocket, "other", dr.found.Other,
		"announce", dr.announce, "budget", whole)
	s.drain = dr
	dr.announceEnd, dr.end = dr.began.Add(dr.announce), dr.began.Add(whole)
	dr.ticker = time.NewTicker(time.Second)
}

// advance takes the drain from its announcement to its work, and to its end: when no response is
// left, or the last one that was cut has had time to return.
func (s *scheduler) advance(now time.Time) {
	dr := s.drain
	switch {
	case dr == nil:
	case dr.plan == nil:
		if !now.Before(dr.announceEnd) {
			s.planAll(now)
		}
	case isClosed(dr.empty), len(s.queue) == 0 && !now.Before(dr.lastCut.Add(dr.cutWait)):
		s.endDrain()
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

// endAnnounce ends an announcement that nobody is left to hear.
func (s *scheduler) endAnnounce() {
	if s.drain != nil && s.drain.plan == nil {
		s.drain.announceEnd = time.Now()
	}
}

// planAll ends admission and plans the responses that are open.
func (s *scheduler) planAll(now time.Time) {
	dr := s.drain
	dr.plan, dr.start, dr.lastCut = policy.NewPlan(dr.work, rand.Uint64()), now, now
	dr.end = now.Add(dr.work + dr.reserve)
	s.enter(Draining)
	var open []*tracked.Response
	open, dr.empty = s.d.registry.Close()

	var fresh []*tracked.Ending
	rules := make([]policy.Rule, 0, len(open)) // what subjects point to
	var subjects []policy.Subject
	for _, response := range open {
		e := response.Ending()
		switch {
		case e.Queued > 0 && irrevocable(e):
			s.capToDrain(e)
			continue
		case e.Queued == 0 && response.Canceled():
			continue // it has been cut, and is about to end
		}
		// From here on a change of the kind is reported, so that none is missed.
		workEnd := now.Add(dr.work)
		response.Publish(tracked.Moments{Cancel: workEnd, Cut: workEnd})
		fresh, rules = append(fresh, e), append(rules, response.Rule())
		subjects = append(subjects, subject(response, response.Kind(), &rules[len(rules)-1]))
	}
	for i, m := range dr.plan.Begin(subjects) {
		s.plan(fresh[i], subjects[i].Kind, tracked.Add(now, m))
	}
}

func subject(r *tracked.Response, kind policy.Kind, rule *policy.Rule) policy.Subject {
	return policy.Subject{Rule: rule, Kind: kind, Age: r.Age(), Idle: r.Idle()}
}

// late plans for a response that the drain's plan didn't know, or knew as one of another kind.
func (dr *drain) late(e *tracked.Ending, kind policy.Kind, after time.Duration) tracked.Moments {
	rule := e.Response.Rule()
	return tracked.Add(dr.start, dr.plan.Late(policy.Subject{Rule: &rule, Kind: kind}, after))
}

// capToDrain brings the moments of a response that was told before the drain within it.
func (s *scheduler) capToDrain(e *tracked.Ending) {
	m, late := planned(e), s.drain.late(e, e.Kind, 0)
	m.Cancel, m.Cut = earlier(m.Cancel, late.Cancel), earlier(m.Cut, late.Cut)
	limit := m.Cancel
	if e.Stage == stageCut {
		limit = m.Cut
	}
	s.schedule(e, e.Stage, earlier(e.At, limit))
	e.Response.Publish(m)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// replan plans a response again that turned out to be of another kind.
func (s *scheduler) replan(e *tracked.Ending, kind policy.Kind) {
	if kind == policy.Infinite {
		e.Response.Untell()
	}
	s.plan(e, kind, s.drain.late(e, kind, time.Since(s.drain.start)))
}

// cutAll cuts all that is left.
func (s *scheduler) cutAll() {
	if s.drain == nil {
		return
	}
	now := time.Now()
	if s.drain.plan == nil {
		s.planAll(now)
	}
	for len(s.queue) > 0 {
		e := s.queue[0]
		e.Response.Tell()
		e.Response.Cancel()
		s.cut(e, now)
	}
}

// endDrain gives up the responses that are still running, and ends the drain.
func (s *scheduler) endDrain() {
	d, dr := s.d, s.drain
	survivors := d.registry.Open()
	for _, response := range survivors {
		a := newAborted(response)
		a.Running = true
		d.logAborted("still running; given up", a)
		d.endCut(response, a)
	}
	if len(survivors) == 0 {
		s.waitWorkers(dr.cutWait)
	}
	for response := range s.picked {
		outcome, _ := response.Outcome()
		s.countShed(response, outcome)
	}
	for len(s.queue) > 0 {
		s.unschedule(s.queue[0])
	}
	s.drain = nil
	dr.ticker.Stop()
	d.mu.Lock()
	dr.phase, dr.ended = Done, time.Now()
	if dr.final {
		s.close()
	}
	d.mu.Unlock()
	d.logOutcomes()
	close(dr.done)
}

// waitWorkers waits for the workers. They have nobody left to wait for, but for a handler's
// OnFarewell that blocks, which it must not. The workers of what comes after, behind a Resume, have
// a wait group of their own.
func (s *scheduler) waitWorkers(atMost time.Duration) {
	workers, returned := s.workers, make(chan struct{})
	s.workers = new(sync.WaitGroup)
	go func() {
		workers.Wait()
		close(returned)
	}()
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-returned:
	case <-timer.C:
		s.d.log(slog.LevelWarn, "an OnFarewell function blocks; the drain ends without it")
	}
}

// enter raises the drain's phase. It does nothing while the drain is announcing: what happens to a
// response then is due to its age, or to a Shed.
func (s *scheduler) enter(p Phase) {
	if !s.planning() {
		return
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if slices.Index(phases, p) > slices.Index(phases, s.drain.phase) {
		s.drain.phase = p
	}
}

// resume takes the drain back, under way or over, unless it is final.
func (s *scheduler) resume() error {
	d := s.d
	d.mu.Lock()
	dr := d.current
	if dr == nil || dr.final {
		d.mu.Unlock()
		if dr != nil {
			return ErrFinal
		}
		return nil
	}
	d.current = nil
	d.began = make(chan struct{})
	d.isDraining.Store(false)
	d.registry.Reopen()
	d.mu.Unlock()

	if s.drain == dr {
		dr.ticker.Stop()
		s.drain = nil
		for _, e := range slices.Clone(s.queue) {
			if dr.plan != nil && !irrevocable(e) {
				s.letOff(e)
			}
		}
	}
	d.log(slog.LevelInfo, "drain taken back", "took", time.Since(dr.began))
	return nil
}
