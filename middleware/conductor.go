package middleware

import (
	"container/heap"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A conductor takes one drain from its announcement to its end. It is one
// goroutine that sleeps until the next response's next moment. What it does to a
// response may meet a stuck peer, so each such act has a goroutine of its own,
// which the response's cut sets free at the latest.
type conductor struct {
	d                       *Drainer
	announce, work, reserve time.Duration
	patience                time.Duration // after the last cut; the rest of the reserve is for the caller

	// owned by run
	began   time.Time // of the draining proper: the moments' zero
	plan    *policy.Plan
	steps   map[*stream.Entry]*step
	queue   queue
	haste   <-chan struct{} // nil once it has been obeyed
	lastCut time.Duration
	acts    sync.WaitGroup

	mu     sync.Mutex    // guards following
	spoken []*step       // whose farewell is out, or left with their writer
	heard  chan struct{} // holds one: something is in spoken
}

// progressEvery is how often a drain logs how it goes.
const progressEvery = time.Second

// newConductor takes the times from the Drainer's budget, all of them shortened
// alike where limit comes sooner, unless that is zero.
func newConductor(d *Drainer, limit time.Time) *conductor {
	b, share := d.Budget, 1.0
	if left := time.Until(limit); !limit.IsZero() && left < b.Whole() {
		share = max(0, float64(left)/float64(b.Whole()))
	}
	of := func(t time.Duration) time.Duration { return time.Duration(share * float64(t)) }
	return &conductor{
		d: d, announce: of(b.Announce), work: of(b.Work()), reserve: of(b.Reserved()), patience: b.Reserved() / 2,
		steps: make(map[*stream.Entry]*step), haste: d.haste, heard: make(chan struct{}, 1),
	}
}

func (c *conductor) run(found stream.Tally) {
	c.d.log(slog.LevelInfo, "drain begins",
		"finite", found.Finite, "sse", found.SSE, "websocket", found.WebSocket, "other", found.Other,
		"announce", c.announce, "budget", c.announce+c.work+c.reserve)
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	c.wait(c.announce, ticker)

	c.enter(Draining)
	c.began = time.Now()
	c.plan = policy.NewPlan(c.work, rand.Uint64())
	c.begin(c.d.registry.Seal())
	c.conduct(ticker)
	c.end()
}

// wait lets the announcement pass, unless everything is to be cut.
func (c *conductor) wait(announce time.Duration, ticker *time.Ticker) {
	if announce <= 0 {
		return
	}
	over := time.NewTimer(announce)
	defer over.Stop()
	for {
		select {
		case <-over.C:
			return
		case <-c.haste:
			return
		case <-ticker.C:
			c.d.logProgress(c.announce + c.work + c.reserve - time.Since(c.d.startAt))
		}
	}
}

// begin plans the responses that are open.
func (c *conductor) begin(open []*stream.Entry) {
	rules := make([]policy.Rule, len(open))
	subjects := make([]policy.Subject, len(open))
	for i, e := range open {
		// From here on a change of kind is reported, so none is missed.
		e.Plan(c.began.Add(c.work), c.began.Add(c.work))
		rules[i] = e.Rule()
		subjects[i] = policy.Subject{Rule: &rules[i], Kind: e.Kind(), Age: e.Age(), Idle: e.Idle()}
	}
	for i, m := range c.plan.Begin(subjects) {
		c.set(open[i], subjects[i].Kind, m)
	}
}

// conduct takes each step when its moment comes, until no response is left or
// the last one that was cut has had time to go.
func (c *conductor) conduct(ticker *time.Ticker) {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		now := time.Since(c.began)
		for len(c.queue) > 0 && c.queue[0].at <= now {
			c.take(c.queue[0], now)
		}
		wake := c.lastCut + c.patience
		if len(c.queue) > 0 {
			wake = c.queue[0].at
		} else if wake <= now {
			return
		}
		next.Reset(wake - now)
		select {
		case <-c.d.registry.Empty():
			return
		case <-c.haste:
			c.haste = nil
			c.cutAll()
		case <-c.d.poke:
			c.replan()
		case <-c.heard:
			c.proceed()
		case <-ticker.C:
			c.d.logProgress(c.work + c.reserve - time.Since(c.began))
		case <-next.C:
		}
	}
}

// end gives up those that still run, and closes the drain.
func (c *conductor) end() {
	survivors := c.d.registry.Open()
	for _, e := range survivors {
		end := endOf(e)
		end.Running = true
		c.d.logEnd("still running; given up", end)
		c.d.mu.Lock()
		if e.End(stream.Cut) {
			c.d.ends = append(c.d.ends, end)
		}
		c.d.mu.Unlock()
	}
	if len(survivors) == 0 {
		c.join()
	}
	c.d.mu.Lock()
	c.d.phase, c.d.endAt = Done, time.Now()
	c.d.mu.Unlock()
	c.d.logOutcomes()
	close(c.d.done)
}

// join waits for the acts. They have nobody left to wait for, but for a handler's
// OnFarewell that blocks against its word.
func (c *conductor) join() {
	joined := make(chan struct{})
	go func() {
		c.acts.Wait()
		close(joined)
	}()
	enough := time.NewTimer(c.patience)
	defer enough.Stop()
	select {
	case <-joined:
	case <-enough.C:
		c.d.log(slog.LevelWarn, "an OnFarewell function blocks; the drain ends without it")
	}
}

func (c *conductor) enter(p Phase) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.d.phase = max(c.d.phase, p)
}

// set gives a response its moments, in place of those that it had.
func (c *conductor) set(e *stream.Entry, kind policy.Kind, m policy.Moments) {
	e.Plan(c.began.Add(m.Cancel), c.began.Add(m.Cut))
	s := c.steps[e]
	if s == nil {
		s = &step{entry: e, index: -1}
		c.steps[e] = s
	}
	s.kind, s.moments = kind, m
	c.schedule(s, farewell, m.Farewell)
}

// schedule sets a response's next act, and its moment.
func (c *conductor) schedule(s *step, next act, at time.Duration) {
	s.next, s.at = next, at
	if s.index < 0 {
		heap.Push(&c.queue, s)
	} else {
		heap.Fix(&c.queue, s.index)
	}
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
	case farewell:
		if s.kind != policy.Infinite {
			e.Tell()
			c.schedule(s, cancel, m.Cancel)
			return
		}
		s.saying = true
		c.act(func() {
			c.say(e, m.Retry)
			c.hear(s)
		})
		c.schedule(s, insist, m.Farewell+(m.Cancel-m.Farewell)/2)
	case insist:
		c.act(e.Link().Insist)
		c.schedule(s, cancel, m.Cancel)
	case cancel:
		if c.mayWait(s, now) {
			return
		}
		c.enter(Cancelling)
		e.Tell()
		e.Cancel()
		c.act(e.Link().Finish)
		c.schedule(s, cut, m.Cut)
	case cut:
		c.cut(s, now)
	}
}

// mayWait puts a response's cancel off while its farewell is still on its way:
// with a short Timeout it would come first, and end a stream in the middle of the
// event that the farewell waits for. The farewell may take half of the mercy.
func (c *conductor) mayWait(s *step, now time.Duration) bool {
	m := s.moments
	half := (m.Cut - m.Cancel) / 2
	short := m.Cancel-m.Farewell < half
	if now >= m.Cancel+half || !s.saying && !(short && s.kind == policy.Infinite && s.entry.Unsaid()) {
		return false
	}
	c.schedule(s, cancel, m.Cancel+half)
	return true
}

func (c *conductor) say(e *stream.Entry, retry time.Duration) {
	f, err := e.Farewell(retry)
	if err != nil {
		c.d.log(slog.LevelWarn, "the handler's own farewell can't be sent, so its rule's is", "route", e.Route(), "error", err)
	}
	e.Link().Farewell(f, retry)
	e.Tell() // after the farewell, so that a handler that hears it and returns can't come before
}

// hear has a response go on that waited for its farewell.
func (c *conductor) hear(s *step) {
	c.mu.Lock()
	c.spoken = append(c.spoken, s)
	c.mu.Unlock()
	select {
	case c.heard <- struct{}{}:
	default: // there is something to hear already
	}
}

func (c *conductor) proceed() {
	c.mu.Lock()
	spoken := c.spoken
	c.spoken = nil
	c.mu.Unlock()
	for _, s := range spoken {
		s.saying = false
		if s.next == cancel && s.index >= 0 {
			c.schedule(s, cancel, s.moments.Cancel)
		}
	}
}

func (c *conductor) cut(s *step, now time.Duration) {
	c.enter(Cutting)
	c.drop(s)
	c.lastCut = now
	c.act(s.entry.Link().Cut)
}

func (c *conductor) drop(s *step) {
	heap.Remove(&c.queue, s.index)
	delete(c.steps, s.entry)
}

func (c *conductor) act(f func()) { c.acts.Go(f) }

// cutAll goes straight to cutting.
func (c *conductor) cutAll() {
	now := time.Since(c.began)
	c.lastCut = now
	for len(c.queue) > 0 {
		s := c.queue[0]
		s.entry.Tell()
		s.entry.Cancel()
		c.cut(s, now)
	}
}

// replan plans those anew that turned out to be of another kind, unless they
// are past the point where that matters.
func (c *conductor) replan() {
	c.d.mu.Lock()
	changed := c.d.changed
	c.d.changed = nil
	c.d.mu.Unlock()
	now := time.Since(c.began)
	for _, e := range changed {
		s, kind := c.steps[e], e.Kind()
		if s != nil && s.kind == kind && s.next == cancel {
			c.schedule(s, cancel, s.moments.Cancel) // it may have waited for its farewell
		}
		if s == nil || s.kind == kind || s.next > cancel || (s.kind == policy.Infinite && s.next > farewell && e.Committed()) {
			continue
		}
		if kind == policy.Infinite {
			e.Untell()
		}
		rule := e.Rule()
		c.set(e, kind, c.plan.Late(policy.Subject{Rule: &rule, Kind: kind}, now))
	}
}

// An act is what the drain does to a response next.
type act uint8

const (
	farewell act = iota
	insist
	cancel
	cut
)

// A step is a response's next act.
type step struct {
	entry   *stream.Entry
	kind    policy.Kind // that it was planned as
	moments policy.Moments
	saying  bool // its farewell is being written
	next    act
	at      time.Duration
	index   int // in the queue; -1: in none
}

// queue is a heap of steps, the earliest first.
type queue []*step

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *queue) Push(x any) {
	s := x.(*step)
	s.index = len(*q)
	*q = append(*q, s)
}

func (q *queue) Pop() any {
	last := len(*q) - 1
	s := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	s.index = -1
	return s
}
