package middleware

import (
	"log/slog"
	"runtime"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// The stages of a response's end, in their order. Finite responses skip stageDropMessage.
const (
	stageFarewell    = iota // a stream is told its farewell, a finite response hears of the drain
	stageDropMessage        // a farewell that still waits for a boundary gives up its message
	stageCancel             // the context is canceled
	stageCut                // the connection is closed by force
)

// plan gives a response its moments, in place of those that it had.
func (s *scheduler) plan(e *tracked.Ending, kind policy.Kind, m tracked.Moments) {
	e.Response.Plan(m)
	e.Kind = kind
	s.schedule(e, stageFarewell, m.Farewell)
}

// momentsOf returns the moments of a response that is scheduled.
func momentsOf(e *tracked.Ending) tracked.Moments {
	m, _ := e.Response.Moments()
	return m
}

// irrevocable reports whether it is too late for unplan: the response is a stream whose farewell
// has been asked for, or its context has been canceled.
func irrevocable(e *tracked.Ending) bool {
	return e.Stage > stageCancel || e.Kind == policy.Infinite && e.Stage > stageFarewell
}

// runNext does what the response's stage says, and schedules the stage after it.
func (s *scheduler) runNext(e *tracked.Ending) {
	r := e.Response
	if _, ended := r.Outcome(); ended {
		s.unschedule(e)
		return
	}
	switch now := time.Now(); e.Stage {
	case stageFarewell:
		if e.Kind == policy.Infinite {
			s.startFarewell(e, now)
			return
		}
		r.CloseDraining()
		s.schedule(e, stageCancel, momentsOf(e).Cancel)
	case stageDropMessage:
		if !e.Writing { // else farewellDone does it
			s.dropMessage(e)
		}
		s.schedule(e, stageCancel, momentsOf(e).Cancel)
	case stageCancel:
		if !s.postponeCancel(e, now) {
			s.cancel(e, now)
		}
	case stageCut:
		if !s.postponeCut(e, now) {
			s.cut(e, now)
		}
	}
}

// cancel cancels a response's context. Its handler runs before the next one is canceled, so that
// its time isn't up before it had a turn.
func (s *scheduler) cancel(e *tracked.Ending, now time.Time) {
	s.enterPhase(Canceling)
	r, m := e.Response, momentsOf(e)
	if late := now.Sub(e.At); late > 0 {
		if late > maxLag {
			s.lag, s.lagAt = late, now
		}
		m.Cancel, m.Cut = m.Cancel.Add(late), s.withinWork(m.Cut.Add(late))
		r.Publish(m)
	}
	r.CloseDraining()
	r.Cancel()
	if c := r.Carrier(); isConn(c) {
		s.workers.apart(c.Finish)
	} else {
		s.workers.do(c.Finish)
	}
	s.schedule(e, stageCut, m.Cut)
	runtime.Gosched()
}

// isConn reports whether a response is carried by a connection, whose Finish waits for the peer.
func isConn(c tracked.Carrier) bool {
	_, ok := c.(connCarrier)
	return ok
}

// withinWork returns t, or where the drain's work ends before that, its end.
func (s *scheduler) withinWork(t time.Time) time.Time {
	if s.hasPlan() {
		return earlier(t, s.drain.workEnd())
	}
	return t
}

// startFarewell has a worker tell a stream its farewell, unless its rule has no time for one.
func (s *scheduler) startFarewell(e *tracked.Ending, now time.Time) {
	r := e.Response
	m := s.shiftIfLate(e, now)
	r.Publish(m)
	if r.Kind() != policy.Infinite && !s.hasPlan() && s.unplan(e) {
		return // the handler tagged it as finite before Publish, when no change is reported
	}
	why := reasonAge
	switch shed := s.picked[r]; {
	case s.hasPlan():
		why = reasonDrain
	case shed != nil:
		why = reasonShed
		r.Refine(shed.Rule)
	}
	r.SetWhy(why)
	if rule := r.Rule(); rule.Timeout == policy.AtOnce && rule.Mercy == policy.AtOnce {
		r.CloseDraining()
		s.schedule(e, stageCancel, m.Cancel) // as policy.LeaveAlone and policy.CutAtOnce promise
		return
	}
	e.MessageDropped = false
	r.AllowFarewell()
	s.goFarewellWorker(e, func() (written time.Time) {
		f, err := r.FarewellFor(m.Retry)
		if err != nil {
			s.d.log(slog.LevelWarn, "a farewell can't be sent as it is, so the next best is sent", "route", r.Route(), "error", err)
		}
		r.Carrier().Farewell(f, m.Retry)
		if r.FarewellSent() {
			written = time.Now()
		}
		return written
	})
	s.schedule(e, stageDropMessage, halfway(m.Farewell, m.Cancel))
}

// dropMessage has a worker send the farewell without its message, if it still waits for a boundary.
func (s *scheduler) dropMessage(e *tracked.Ending) {
	e.MessageDropped = true
	s.goFarewellWorker(e, func() time.Time {
		e.Response.Carrier().DropMessage()
		return time.Time{}
	})
}

// goFarewellWorker has a worker call f, which returns when it has written the farewell, zero where
// that is still to come or has been before.
func (s *scheduler) goFarewellWorker(e *tracked.Ending, f func() (written time.Time)) {
	e.Writing = true
	round := e.Round
	s.workers.do(func() {
		var written time.Time
		s.d.guard("a farewell", func() { written = f() })
		s.post(func() {
			if e.Round == round {
				s.farewellDone(e, written)
			}
		})
	})
}

// farewellDone lets a response go on to its next stages, which may have waited for its farewell.
func (s *scheduler) farewellDone(e *tracked.Ending, written time.Time) {
	e.Writing = false
	r := e.Response
	r.CloseDraining() // only now, since a handler may return on it and end the body
	if e.Stage != stageDropMessage && e.Stage != stageCancel {
		return
	}
	if !written.IsZero() {
		m := s.shiftIfLate(e, written)
		if soonest := s.withinWork(written.Add(breakGap)); !isConn(r.Carrier()) && m.Cut.Before(soonest) {
			m.Cut = soonest
		}
		r.Publish(m)
		s.schedule(e, stageCancel, m.Cancel)
		if !m.Cancel.After(time.Now()) {
			s.runNext(e) // before other streams are told
		}
	} else if e.Stage == stageCancel { // which has waited for the worker
		if e.MessageDropped {
			s.scheduleCancel(e)
		} else {
			s.dropMessage(e)
		}
	}
}

// scheduleCancel schedules a response's cancel, which may have waited for its farewell: that
// doesn't count as late.
func (s *scheduler) scheduleCancel(e *tracked.Ending) {
	at := momentsOf(e).Cancel
	if now := time.Now(); at.Before(now) {
		at = now
	}
	s.schedule(e, stageCancel, at)
}

// shiftIfLate returns the moments of a stream that is told now. If that is late, since the machine
// is busy, the drain has many streams to tell or the peer reads slowly, the later moments move as
// well, as far as there is time.
func (s *scheduler) shiftIfLate(e *tracked.Ending, now time.Time) tracked.Moments {
	m := momentsOf(e)
	if s.hasPlan() {
		start := s.drain.start
		due := policy.Moments{Farewell: m.Farewell.Sub(start), Retry: m.Retry}
		rule := e.Response.Rule()
		subject := policy.Subject{Rule: &rule, Answers: answers(e.Response)}
		return tracked.Add(start, s.drain.plan.Reschedule(due, subject, now.Sub(start)))
	}
	late := now.Sub(m.Farewell)
	return tracked.Moments{Farewell: now, Cancel: m.Cancel.Add(late), Cut: m.Cut.Add(late), Retry: m.Retry}
}

func halfway(from, to time.Time) time.Time { return from.Add(to.Sub(from) / 2) }

// minWriteTime is how long writing a farewell has at least, however short the rule's times are: on
// a busy machine it may take that long where no peer is to blame.
const minWriteTime = 200 * time.Millisecond

// postponeCancel puts a response's cancel off while its farewell is still to be written: with a
// short Timeout the cancel would come first, and end a stream in the middle of an event, say, whose
// end the farewell waits for. It does so for half of the time between cancel and cut at most.
func (s *scheduler) postponeCancel(e *tracked.Ending, now time.Time) bool {
	m := momentsOf(e)
	if short := m.Farewell.Add(minWriteTime).Sub(halfway(m.Cancel, m.Cut)); short > 0 && e.Writing {
		m.Cancel, m.Cut = s.withinWork(m.Cancel.Add(short)), s.withinWork(m.Cut.Add(short))
		e.Response.Publish(m)
	}
	limit := halfway(m.Cancel, m.Cut)
	waits := m.Cancel.Sub(m.Farewell) < limit.Sub(m.Cancel) && e.Kind == policy.Infinite && e.Response.AwaitsBoundary()
	if !now.Before(limit) || !e.Writing && !waits {
		return false
	}
	s.schedule(e, stageCancel, limit)
	return true
}

// maxLag is how late a cancel or a cut may be. More is a sign that the machine hasn't kept up.
const maxLag = 10 * time.Millisecond

// postponeCut puts a response's cut off where the machine hasn't kept up, since its handler may not
// have had its time either: by as much as the cut is late, and once also by as much as another
// response's cancel was late since its own, but each time by the time from cancel to cut at most,
// and only while the drain has time. At last it lets a handler that is ready to run do so before
// the cut.
func (s *scheduler) postponeCut(e *tracked.Ending, now time.Time) bool {
	m := momentsOf(e)
	late := now.Sub(e.At)
	if !e.CutMoved && s.lagAt.After(m.Cancel) {
		late = max(late, s.lag)
	}
	if late > maxLag {
		if at := s.withinWork(now.Add(min(late, m.Cut.Sub(m.Cancel)))); at.After(now) {
			m.Cut, e.CutMoved = at, true
			e.Response.Publish(m)
			s.schedule(e, stageCut, at)
			return true
		}
	}
	runtime.Gosched()
	return false
}

func (s *scheduler) cut(e *tracked.Ending, now time.Time) {
	s.enterPhase(Cutting)
	s.unschedule(e)
	if s.drain != nil {
		s.drain.lastCut = now
	}
	s.workers.do(e.Response.Carrier().Cut)
}

// changed looks again at a response that has ended, may be of another kind than it was planned as,
// whose farewell goes out, or that was admitted late.
func (s *scheduler) changed(r *tracked.Response) {
	e, kind := r.Ending(), r.Kind()
	queued := e.Queued > 0
	if outcome, ended := r.Outcome(); ended {
		if queued {
			s.unschedule(e)
		}
		s.countShed(r, outcome)
		s.callEnded(r)
		return
	}
	if queued && e.Kind == kind && e.Stage == stageCancel {
		s.scheduleCancel(e) // its farewell goes out now, perhaps after the cancel was put off for it
	}
	switch {
	case s.hasPlan() && !queued:
		s.planLate(r)
	case s.hasPlan():
		canReplan := e.Stage <= stageCancel && !(irrevocable(e) && r.FarewellSent())
		if e.Kind != kind && canReplan {
			s.replan(e, kind)
		}
	case !queued || !irrevocable(e):
		s.scheduleAge(r)
	case kind != policy.Infinite && e.Stage <= stageCancel:
		s.unplan(e)
	}
}

// unplan takes plan back: the response goes on until the next drain, or to its age. It reports
// false, and does nothing, if the farewell has been sent.
func (s *scheduler) unplan(e *tracked.Ending) bool {
	r := e.Response
	if !r.Unpublish() {
		return false
	}
	s.unschedule(e)
	r.ReopenDraining()
	s.unpick(r)
	s.scheduleAge(r)
	return true
}

// scheduleAge schedules the end of a stream by its rule's MaxAge. If the rule has none, or none any
// more, it calls unplan. The farewell must not have been asked for.
func (s *scheduler) scheduleAge(r *tracked.Response) {
	e, kind := r.Ending(), r.Kind()
	if r.Canceled() || s.picked[r] != nil && kind == policy.Infinite {
		return
	}
	if e.AgeNumber == 0 {
		e.AgeNumber = s.d.lastAgeNumber.Add(1)
	}
	m, limited := r.Rule().AgeMoments(e.AgeNumber, answers(r))
	switch {
	case limited && kind == policy.Infinite && r.WatchEnd():
		// If the rule was set late, the farewell's moment may be past: it is sent now, and the
		// times that follow it count from now.
		start := r.Began()
		if now := time.Now(); start.Add(m.Farewell).Before(now) {
			start = now.Add(-m.Farewell)
		}
		s.plan(e, kind, tracked.Add(start, m))
	case e.Queued > 0:
		s.unplan(e)
	}
}
