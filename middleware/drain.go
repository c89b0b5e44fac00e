package middleware

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// A drain is one drain of a Drainer, under way or over.
type drain struct {
	// Immutable.
	began     time.Time
	deadline  time.Time // when all is over, at the latest
	cause     string
	found     Tally         // the responses that were open when it began
	reserve   time.Duration // between the end of its work and its own
	cutWait   time.Duration // how long after the last cut handlers have to return
	done      chan struct{} // closed when the drain is over
	takenBack chan struct{} // closed when Resume has taken it back

	hurried atomic.Bool // all was cut: by Close, or since a context has ended

	// Guarded by Drainer.mu.
	entered              []entry // the phases so far: the last is the current one
	aborted              []ResponseInfo
	places               map[*tracked.Response]place // of handlers that locate looked for; nil once the drain is over
	streaming, swallowed int                         // see Report
	swallowedBytes       int64                       // see Report

	// Owned by the scheduler.
	ticker      *time.Ticker // for a line in the log every second
	announceEnd time.Time
	closedAt    time.Time       // when the listeners were closed; zero: they have not been
	settledAt   time.Time       // when the last connection has sent its first request since
	work        time.Duration   // from start until all that is left is cut, at the latest
	plan        *policy.Plan    // nil until the announcement is over; what follows is set then
	start       time.Time       // what the plan's moments count from
	allEnded    <-chan struct{} // closed when no response is left
	lastCut     time.Time       // start, until a response is cut

	sessions map[string]*mcpSession // with open calls
	looks    int                    // how often stacks were taken of late handlers
}

// An entry is when a drain entered a phase.
type entry struct {
	phase Phase
	at    time.Time
}

// newDrain divides the Drainer's budget. If limit is sooner and not zero, announce, work and
// reserve are shortened by the same factor.
func newDrain(d *Drainer, limit time.Time, cause string, found Tally) *drain {
	b, factor := d.Budget.WithDefaults(), 1.0
	if left := time.Until(limit); !limit.IsZero() && left < b.Total {
		factor = max(0, float64(left)/float64(b.Total))
	}
	shorten := func(t time.Duration) time.Duration { return time.Duration(factor * float64(t)) }
	now := time.Now()
	dr := &drain{
		began: now, cause: cause, found: found, entered: []entry{{Announcing, now}}, announceEnd: now.Add(shorten(b.Announce)),
		work: shorten(b.Total - b.Announce - b.Reserve), reserve: shorten(b.Reserve), cutWait: b.Reserve / 2,
		done: make(chan struct{}), takenBack: make(chan struct{}), places: make(map[*tracked.Response]place),
	}
	dr.deadline = dr.announceEnd.Add(dr.work + dr.reserve)
	return dr
}

// phaseLocked returns the current phase, and when it was entered.
func (dr *drain) phaseLocked() entry { return dr.entered[len(dr.entered)-1] }

// workEnd returns when all that is left is cut, at the latest, once the responses are planned.
func (dr *drain) workEnd() time.Time { return dr.start.Add(dr.work) }

// end returns when all is over, at the latest: before the deadline where the announcement was cut
// short.
func (dr *drain) end() time.Time {
	if dr.plan == nil {
		return dr.deadline
	}
	return dr.workEnd().Add(dr.reserve)
}

// hasPlan reports whether a drain is under way and past its announcement: requests are refused, and
// the open responses are planned.
func (s *scheduler) hasPlan() bool { return s.drain != nil && s.drain.plan != nil }

// beginDrain begins the drain's announcement, unless Resume has taken the drain back before.
func (s *scheduler) beginDrain(dr *drain) {
	s.d.mu.Lock()
	takenBack := s.d.current != dr
	s.d.mu.Unlock()
	if takenBack {
		return
	}
	s.d.log(slog.LevelInfo, "drain begins",
		append(dr.found.attrs(), "announce", dr.announceEnd.Sub(dr.began), "budget", dr.deadline.Sub(dr.began), "cause", dr.cause)...)
	s.drain = dr
	dr.ticker = time.NewTicker(time.Second)
}

// advance plans the responses once the announcement is over, and ends the drain once no response is
// left, or all are cut and the last has had its time to return.
func (s *scheduler) advance(now time.Time) {
	dr := s.drain
	switch {
	case dr == nil:
	case dr.plan == nil:
		if !now.Before(dr.announceEnd) && s.settleListeners(now) {
			s.planAll(now)
		}
	case isClosed(dr.allEnded), len(s.queue) == 0 && !now.Before(dr.lastCut.Add(dr.cutWait)):
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

// endAnnounce ends the announcement now.
func (s *scheduler) endAnnounce() {
	if s.drain != nil && s.drain.plan == nil && s.drain.closedAt.IsZero() {
		s.drain.announceEnd = time.Now()
	}
}

// planAll ends admission and plans the responses that are open.
func (s *scheduler) planAll(now time.Time) {
	dr := s.drain
	switch {
	case !dr.closedAt.IsZero(): // while the announcement was over and first requests still waited for
		dr.work -= min(dr.work, now.Sub(dr.closedAt))
	case s.mustCloseListeners(): // by cutAll, which doesn't wait for the end of the announcement
		s.closeListeners()
	}
	plan := policy.NewPlan(dr.work, rand.Uint64())
	dr.plan, dr.start, dr.lastCut = plan, now, now
	s.enterPhase(Draining)
	open, allEnded := s.d.registry.Close(func(rule policy.Rule) bool { return plan.Admits(rule, time.Since(now)) })
	dr.allEnded, dr.sessions = allEnded, mcpSessions(open)

	var endings []*tracked.Ending
	var subjects []policy.Subject
	for _, r := range open {
		e := r.Ending()
		switch {
		case e.Queued > 0 && irrevocable(e):
			s.capToDrain(e)
			continue
		case e.Queued == 0 && r.Canceled():
			continue // it has been cut, and is about to end
		}
		kind := dr.kindOf(r)
		endings, subjects = append(endings, e), append(subjects, subject(r, kind, dr.ruleOf(e, kind)))
	}
	for i, m := range plan.Begin(subjects) {
		s.plan(endings[i], subjects[i].Kind, tracked.Add(now, m))
	}
}

// kindOf returns the kind of a response that is to be planned. From here on a change of it is
// reported, since the end of the drain's work is published as the moment of the response's cut.
func (dr *drain) kindOf(r *tracked.Response) policy.Kind {
	end := dr.workEnd()
	r.Publish(tracked.Moments{Cancel: end, Cut: end})
	return r.Kind()
}

func subject(r *tracked.Response, kind policy.Kind, rule policy.Rule) policy.Subject {
	return policy.Subject{Rule: &rule, Kind: kind, Answers: answers(r), Age: r.Age(), Idle: r.Idle()}
}

// lateMoments returns the moments of a response that the plan doesn't have, or has as another kind.
// after is the time since start.
func (dr *drain) lateMoments(e *tracked.Ending, kind policy.Kind, after time.Duration) tracked.Moments {
	rule := dr.ruleOf(e, kind)
	s := policy.Subject{Rule: &rule, Kind: kind, Answers: answers(e.Response)}
	return tracked.Add(dr.start, dr.plan.Late(s, after))
}

// answers reports whether the peer of r has to answer its farewell.
func answers(r *tracked.Response) bool { return r.Format() == format.WebSocket }

// capToDrain keeps a response that was ending before the drain from ending later than the drain.
func (s *scheduler) capToDrain(e *tracked.Ending) {
	m, late := momentsOf(e), s.drain.lateMoments(e, e.Kind, 0)
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

// planLate plans r if it was admitted since planAll and has no plan yet, and reports whether it has
// done so.
func (s *scheduler) planLate(r *tracked.Response) bool {
	e := r.Ending()
	if e.Queued > 0 || r.Canceled() {
		return false
	}
	s.replan(e, s.drain.kindOf(r))
	return true
}

// replan plans a response anew whose kind has changed.
func (s *scheduler) replan(e *tracked.Ending, kind policy.Kind) {
	if kind == policy.Infinite {
		e.Response.ReopenDraining()
	}
	s.plan(e, kind, s.drain.lateMoments(e, kind, time.Since(s.drain.start)))
}

// cutAll cuts all that is left.
func (s *scheduler) cutAll() {
	if s.drain == nil {
		return
	}
	s.drain.hurried.Store(true)
	now := time.Now()
	if s.drain.plan == nil {
		s.planAll(now)
	}
	for _, r := range s.d.registry.AdmitNone() {
		s.planLate(r)
	}
	for len(s.queue) > 0 {
		e := s.queue[0]
		e.Response.CloseDraining()
		e.Response.Cancel()
		s.cut(e, now)
	}
}

// endDrain gives up the responses that are still running, and ends the drain. If one was admitted a
// moment ago, it plans that and lets the drain go on.
func (s *scheduler) endDrain() {
	d, dr := s.d, s.drain
	running, late := d.registry.AdmitNone(), false
	for _, r := range running {
		late = s.planLate(r) || late
	}
	if late {
		return
	}
	if len(running) > 0 {
		d.giveUp(dr, running)
	} else {
		s.waitWorkers(dr.cutWait)
	}
	for r := range s.picked { // whose end changed has not seen yet
		outcome, _ := r.Outcome()
		s.countShed(r, outcome)
	}
	for len(s.queue) > 0 {
		s.unschedule(s.queue[0])
	}
	s.drain = nil
	dr.ticker.Stop()
	d.mu.Lock()
	dr.entered = append(dr.entered, entry{Done, time.Now()})
	dr.places = nil
	if isClosed(d.madeFinal) {
		s.refuseTasks()
	}
	d.mu.Unlock()
	report := d.Report()
	d.log(slog.LevelInfo, "drain ends", append([]any{"took", report.Took}, report.Outcomes.attrs()...)...)
	d.writeReport(report)
	close(dr.done)
}

// giveUp ends the responses that are still running, with where their handlers are.
func (d *Drainer) giveUp(dr *drain, running []*tracked.Response) {
	stacks := takeStacks()
	for n, r := range running {
		var p place
		if n < maxGivenUp {
			p = findHandler(stacks, r)
		}
		d.setPlace(dr, r, p)
		i := d.info(r)
		i.Running = true
		attrs := p.attrs()
		if i.Stack != "" {
			attrs = append(attrs, "stack", i.Stack)
		}
		d.endCut(r, i, "still running; given up", attrs...)
	}
}

// waitWorkers waits for the workers to return. No response is open, so only an OnFarewell function
// that blocks can hold one up. Workers that start after a Resume have a new wait group.
func (s *scheduler) waitWorkers(atMost time.Duration) {
	workers, returned := s.workers, make(chan struct{})
	s.workers = s.newWorkers()
	go func() {
		workers.all.Wait()
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

// enterPhase raises the drain's phase. It does nothing during the announcement: the responses that
// end then do so by their age, or by a Shed.
func (s *scheduler) enterPhase(p Phase) {
	if !s.hasPlan() {
		return
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if slices.Index(phases, p) > slices.Index(phases, s.drain.phaseLocked().phase) {
		s.drain.entered = append(s.drain.entered, entry{p, time.Now()})
	}
}

// resume takes the drain back, under way or over, unless it is final.
func (s *scheduler) resume() error {
	d := s.d
	d.mu.Lock()
	dr := d.current
	switch {
	case dr == nil:
		d.mu.Unlock()
		return nil
	case isClosed(d.madeFinal):
		d.mu.Unlock()
		return ErrFinal
	}
	d.current = nil
	d.drainBegan = make(chan struct{})
	d.isDraining.Store(false)
	d.registry.Reopen()
	close(dr.takenBack)
	d.mu.Unlock()

	if s.drain == dr {
		dr.ticker.Stop()
		s.drain = nil
		for _, e := range slices.Clone(s.queue) {
			if dr.plan != nil && !irrevocable(e) {
				s.unplan(e)
			}
		}
	}
	d.log(slog.LevelInfo, "drain taken back", "took", time.Since(dr.began))
	return nil
}
