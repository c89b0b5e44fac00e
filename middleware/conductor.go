package middleware

import (
	"log/slog"
	"time"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A conductor takes responses through their last steps: all of them in a drain,
// and while serving those that are shed or have come of age. It is one goroutine
// that sleeps until the next response's next moment, and there is none while
// nothing has one. What it does to a response may meet a stuck peer, so each such
// act has a goroutine of its own, which the response's cut sets free at the latest.
type conductor struct {
	d     *Drainer
	epoch time.Time // the moments' zero

	// owned by run
	agenda
	picked map[*stream.Entry]*shed // those that are shed and haven't ended
	drain  *drain                  // nil: none is under way
}

func newConductor(d *Drainer) *conductor {
	return &conductor{d: d, epoch: time.Now(), agenda: newAgenda(), picked: make(map[*stream.Entry]*shed)}
}

func (c *conductor) now() time.Duration { return time.Since(c.epoch) }

func (c *conductor) run() {
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for {
		for _, o := range c.d.mail.collect() {
			o(c)
		}
		now := c.now()
		for !c.empty() && c.first().at <= now {
			c.take(c.first(), now)
		}
		c.advance(now)
		switch {
		case c.drain != nil || !c.empty() || len(c.picked) > 0:
			c.sleep(alarm)
		case c.d.mail.leave():
			return
		}
	}
}

// sleep waits for the next moment, or for whatever else there is to see to.
func (c *conductor) sleep(alarm *time.Timer) {
	var over <-chan struct{}
	var tick <-chan time.Time
	moment := never
	if !c.empty() {
		moment = c.first().at
	}
	if r := c.drain; r != nil {
		over, tick = r.empty, r.ticker.C
		moment = min(moment, r.next(c.empty()))
	}
	alarm.Reset(moment - c.now())
	select {
	case <-c.d.mail.waiting:
	case <-over:
	case <-tick:
		c.d.logProgress(c.drain.end - c.now())
	case <-alarm.C:
	}
}

// plan gives a response its moments, in place of those that it had.
func (c *conductor) plan(s *step, kind policy.Kind, m policy.Moments) {
	s.kind, s.moments = kind, m
	c.schedule(s, actFarewell, m.Farewell)
}

// disclose lets the response know of its moments: its handler may ask for them,
// and a change of its kind is reported from now on.
func (c *conductor) disclose(s *step) {
	s.entry.Plan(c.epoch.Add(s.moments.Cancel), c.epoch.Add(s.moments.Cut))
}

// take does what is next for a response, and schedules what comes after.
func (c *conductor) take(s *step, now time.Duration) {
	e := s.entry
	if e.Ended() {
		c.drop(s)
		return
	}
	m := s.moments
	switch s.next {
	case actFarewell:
		if s.kind != policy.Infinite {
			e.Tell()
			c.schedule(s, actCancel, m.Cancel)
			return
		}
		m = c.catchUp(s, now)
		c.disclose(s)
		if e.Kind() != policy.Infinite && !c.sealed() && c.spare(s) {
			return // its handler has said so since, when nobody had it report a change
		}
		if r := c.picked[e]; r != nil && !c.sealed() {
			e.Refine(r.rule)
		}
		s.short = false
		c.speak(s, func() { c.d.say(e, m.Retry) })
		c.schedule(s, actInsist, m.Farewell+(m.Cancel-m.Farewell)/2)
	case actInsist:
		if !s.saying { // else it comes after, in goOn
			c.insist(s)
		}
		c.schedule(s, actCancel, m.Cancel)
	case actCancel:
		if c.mayWait(s, now) {
			return
		}
		c.enter(Cancelling)
		e.Tell()
		e.Cancel()
		c.act(e.Link().Finish)
		c.schedule(s, actCut, m.Cut)
	case actCut:
		c.cut(s, now)
	}
}

// catchUp gives a stream that is told late, since the machine is busy or the drain had
// a crowd to plan, the time that was to follow its farewell, as far as there is any.
func (c *conductor) catchUp(s *step, now time.Duration) policy.Moments {
	if late := now - s.moments.Farewell; c.sealed() {
		r := c.drain
		s.moments = after(r.plan.Reschedule(after(s.moments, -r.zero), s.entry.Rule(), now-r.zero), r.zero)
	} else {
		s.moments = after(s.moments, late)
	}
	return s.moments
}

// after returns m counted from zero later.
func after(m policy.Moments, zero time.Duration) policy.Moments {
	m.Farewell += zero
	m.Cancel += zero
	m.Cut += zero
	return m
}

// mayWait puts a response's cancel off while its farewell is still on its way:
// with a short Timeout it would come first, and end a stream in the middle of what
// the farewell waits for, an event say. The farewell may take half of the mercy.
func (c *conductor) mayWait(s *step, now time.Duration) bool {
	m := s.moments
	half := (m.Cut - m.Cancel) / 2
	short := m.Cancel-m.Farewell < half
	if now >= m.Cancel+half || !s.saying && !(short && s.kind == policy.Infinite && s.entry.AwaitsBoundary()) {
		return false
	}
	c.schedule(s, actCancel, m.Cancel+half)
	return true
}

// goOn has a response go on that has been asked to say its farewell, which its next
// acts may have waited for.
func (c *conductor) goOn(s *step) {
	s.saying = false
	if !c.holds(s) {
		return // it has been let off meanwhile, or cut
	}
	s.entry.Tell() // after the farewell, so that a handler that hears it and returns can't come before
	switch {
	case s.next != actCancel:
	case !s.short:
		c.insist(s)
	default:
		c.schedule(s, actCancel, s.moments.Cancel)
	}
}

// speak has a farewell written, which may take its time, and the response go on after.
func (c *conductor) speak(s *step, how func()) {
	s.saying = true
	c.act(func() {
		how()
		c.d.post(func(c *conductor) { c.goOn(s) })
	})
}

// insist gives up what a farewell still waits to say beside its shortest form.
func (c *conductor) insist(s *step) {
	s.short = true
	c.speak(s, s.entry.Link().Insist)
}

func (c *conductor) cut(s *step, now time.Duration) {
	c.enter(Cutting)
	c.drop(s)
	if c.drain != nil {
		c.drain.lastCut = now
	}
	c.act(s.entry.Link().Cut)
}

func (c *conductor) act(f func()) { c.d.acts.Go(f) }

// say tells a stream its farewell.
func (d *Drainer) say(e *stream.Entry, retry time.Duration) {
	f, err := e.Farewell(retry)
	if err != nil {
		d.log(slog.LevelWarn, "a farewell can't be sent as it is, so the next best is sent", "route", e.Route(), "error", err)
	}
	e.Link().Farewell(f, retry)
}

// changed looks at a response anew that has ended, may be of another kind than it
// was, or has got its farewell out.
func (c *conductor) changed(e *stream.Entry) {
	s, kind := c.steps[e], e.Kind()
	if o, ended := e.Outcome(); ended {
		if s != nil {
			c.drop(s)
		}
		c.count(e, o)
		return
	}
	if s != nil && s.kind == kind && s.next == actCancel {
		c.schedule(s, actCancel, s.moments.Cancel) // it may have waited for its farewell
	}
	switch {
	case c.sealed():
		if s != nil && s.kind != kind && s.next <= actCancel && !(s.begun() && e.Committed()) {
			c.replan(s, kind)
		}
	case s == nil || !s.begun():
		c.age(e)
	case kind != policy.Infinite && s.next <= actCancel && !e.Committed():
		c.spare(s)
	}
}

// spare lets a response go on that had a step before it: it stays until the next
// drain, or to its age. It reports false if its farewell is out already.
func (c *conductor) spare(s *step) bool {
	e := s.entry
	if !e.Unplan() {
		return false
	}
	c.drop(s)
	e.Untell()
	c.unpick(e)
	c.age(e)
	return true
}
