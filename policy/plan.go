package policy

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// A Plan computes the moments of one drain's responses. [NewPlan] makes one; the zero Plan can't be
// used. It is not safe for concurrent use.
//
// It knows no clock and keeps no responses: the caller names the responses, keeps the moments that
// it is given and acts at them. No moment is after the end of the drain's work: the parts of a rule
// that doesn't fit are all scaled down in proportion.
type Plan struct {
	work   time.Duration
	random rand.PCG
	groups map[Rule]*group // by the fields of their rule that planning reads
}

// A Subject is one response that a Plan is asked about.
type Subject struct {
	// Rule of the response; nil: the zero Rule. It is read during the call only.
	Rule *Rule
	// Kind of the response; that of its Rule is ignored. Auto is planned as Finite.
	Kind Kind
	// Answers is whether the peer of a stream has to answer the farewell, as that of a WebSocket
	// has, so that a zero Timeout stands for a longer time.
	Answers bool
	// Age is the time since the response began, Idle the time since a byte last moved on it. Only a
	// rule with an Order reads them; of two equal streams the one that the caller names first is
	// first.
	Age, Idle time.Duration
}

// Moments are the times of one response. Farewell, Cancel and Cut are counted from the beginning of
// the plan's work, none of them is before the one above it and none after the work's end. Those of
// [Rule.AgeMoments] are counted from the response's own beginning instead.
type Moments struct {
	// Farewell is when a stream gets its farewell, and when the handler of a finite response hears
	// that the server is draining.
	Farewell time.Duration
	// Cancel is when the context of its request is canceled.
	Cancel time.Duration
	// Cut is when its connection is closed by force.
	Cut time.Duration
	// Retry is the client's reconnect slot: how long after its farewell it is asked to come back.
	Retry time.Duration
}

// maxGap is the longest time between two farewells of a group. It makes 200 a second, so that a few
// streams don't draw out a drain.
const maxGap = 5 * time.Millisecond

// A group is what a Plan keeps of all responses with equal rules.
type group struct {
	rule    Rule
	finite  parts
	slot    uint64  // the last number given to [Window.Slot]
	streams []int32 // indices into Begin's responses, while Begin runs
	answers bool    // a peer of these streams has to answer
}

// NewPlan returns a Plan for a drain in which work passes from the first farewell to the last cut;
// a negative work counts as zero. Equal seeds and equal calls give equal moments.
func NewPlan(work time.Duration, seed uint64) *Plan {
	p := &Plan{work: clamp(work), groups: make(map[Rule]*group)}
	p.random.Seed(seed, phi64)
	return p
}

// Begin plans all the responses that are open when a drain begins, and returns their moments in the
// order of all. Streams with equal rules, whatever their Kind, MaxAge, Farewell, Format, Ending and
// Admit, get their farewells evenly spread over the rule's Spread, in the rule's Order and at 200 a
// second or more, so that few take less than the Spread. Without a Spread they get them all at
// once. Those of a lower Priority begin when the last farewell of a higher one is due.
//
// Begin allocates less than 64 bytes for each response, including the 32 that it returns.
func (p *Plan) Begin(all []Subject) []Moments {
	moments := make([]Moments, len(all))
	var groups []*group // that have streams
	var g *group
	for i, s := range all {
		if i == 0 || s.Rule != all[i-1].Rule {
			g = p.group(s.rule())
		}
		if s.Kind != Infinite {
			moments[i] = p.finiteMoments(g, 0)
			continue
		}
		if len(g.streams) == 0 {
			groups = append(groups, g)
		}
		g.streams = append(g.streams, int32(i))
		g.answers = g.answers || s.Answers
	}
	slices.SortStableFunc(groups, func(a, b *group) int { return cmp.Compare(b.rule.Priority, a.rule.Priority) })
	var wait, next time.Duration // of this priority, and of those below it
	for i, g := range groups {
		if i > 0 && g.rule.Priority < groups[i-1].rule.Priority {
			wait = next
		}
		p.sort(g.streams, g.rule.Order, all)
		end := p.spread(g, wait, all, moments)
		if g.rule.Grace != ToTheEnd {
			next = max(next, end)
		}
		g.streams, g.answers = nil, false
	}
	return moments
}

// Late plans one response that became known, or turned out to be of another kind, when the work had
// been going on for at. A stream gets its farewell at once, unless its rule's Grace is [ToTheEnd].
// What comes late has less time, since everything ends with the work; after that all moments are
// its end.
func (p *Plan) Late(s Subject, at time.Duration) Moments {
	at = min(max(0, at), p.work)
	g := p.group(s.rule())
	if s.Kind != Infinite {
		return p.finiteMoments(g, at)
	}
	end := p.lateParts(g.rule, s.Answers, at)
	return g.moments(at+end.grace, end)
}

// Reschedule returns m for a stream that gets its farewell only now, after m.Farewell, because the
// caller was held up. The times that follow the farewell are its rule's, as far as the work lasts,
// and the slot is that of m. Of s only Rule and Answers matter.
func (p *Plan) Reschedule(m Moments, s Subject, now time.Duration) Moments {
	at := min(max(m.Farewell, now), p.work)
	r := s.rule()
	r.Grace = 0
	end := p.lateParts(r, s.Answers, at)
	m.Farewell, m.Cancel, m.Cut = at, at+end.timeout, at+end.timeout+end.mercy
	return m
}

// lateParts returns the parts that a stream under r has within the work that is left at a time,
// when neither Grace nor Spread delay its farewell any more.
func (p *Plan) lateParts(r Rule, answers bool, at time.Duration) parts {
	r.Spread = 0
	if r.Grace != ToTheEnd {
		r.Grace = 0
	}
	return r.streamParts(p.work-at, answers)
}

// Admits reports whether a finite response under r that begins at would have any time until it is
// canceled. Unlike the other methods it may be called concurrently with all of them.
func (p *Plan) Admits(r Rule, at time.Duration) bool { return at < r.finiteParts(p.work).grace }

// Pick chooses the streams that get a farewell when only n of all do. It returns the indices into
// all of the first n in the given Order, or of all where there are fewer.
func (p *Plan) Pick(all []Subject, order Order, n int) []int32 {
	picked := make([]int32, len(all))
	for i := range picked {
		picked[i] = int32(i)
	}
	p.sort(picked, order, all)
	return picked[:min(max(0, n), len(picked))]
}

// rule returns the rule of s.
func (s *Subject) rule() Rule {
	if s.Rule == nil {
		return Rule{}
	}
	return *s.Rule
}

// group returns the group of a rule, and makes it if there is none yet.
func (p *Plan) group(r Rule) *group {
	// These don't matter to a drain's moments. A handler may set an age and a farewell for each of
	// its streams: if each were a group by itself, all would get their farewells at once.
	r.Kind, r.MaxAge, r.Farewell, r.Format, r.Ending, r.Admit = Auto, 0, Farewell{}, AutoFormat, AutoEnding, false
	g := p.groups[r]
	if g == nil {
		g = &group{rule: r, finite: r.finiteParts(p.work), slot: p.random.Uint64()}
		p.groups[r] = g
	}
	return g
}

// sort puts indices into all into an order.
func (p *Plan) sort(indices []int32, order Order, all []Subject) {
	if order == Random {
		p.shuffle(indices)
		return
	}
	slices.SortFunc(indices, func(a, b int32) int {
		return cmp.Or(order.compare(&all[a], &all[b]), cmp.Compare(a, b))
	})
}

// shuffle does what rand.Shuffle does, which may change from one release of Go to the next: equal
// seeds have to give equal plans.
func (p *Plan) shuffle(indices []int32) {
	for n := len(indices) - 1; n > 0; n-- {
		k := mulFrac(n+1, p.random.Uint64())
		indices[n], indices[k] = indices[k], indices[n]
	}
}

// spread sets the moments of g's streams: each has a place on an even grid over the spread and a
// random delay of up to half a gap, enough that servers which drain together don't keep the same
// beat, too little to bunch up. The grid begins after wait; spread returns when it ends.
func (p *Plan) spread(g *group, wait time.Duration, all []Subject, moments []Moments) (end time.Duration) {
	rule, work := g.rule, p.work-wait
	if wait > 0 {
		rule = rule.afterWait(wait)
	}
	// One grid is for all. Those that answer need the longest after it: what is scaled down for
	// them suits the others.
	plain, answering := rule.streamParts(work, false), rule.streamParts(work, true)
	grid := plain
	if g.answers {
		grid = answering
		if rule.Grace != ToTheEnd {
			plain.grace = answering.grace
		}
	}
	n := time.Duration(len(g.streams))
	length := min(grid.spread, n*maxGap)
	for k, i := range g.streams {
		own := plain
		if all[i].Answers {
			own = answering
		}
		place := ratio(length, time.Duration(k), n)
		jitter := mulFrac(length/n/2, p.random.Uint64())
		moments[i] = g.moments(wait+own.grace+place+jitter, own)
	}
	return min(wait+grid.grace+max(length, AtOnce), p.work)
}

// moments returns those of a stream with its farewell at a time, and the next slot.
func (g *group) moments(farewell time.Duration, end parts) Moments {
	cancel := farewell + end.timeout
	return Moments{Farewell: farewell, Cancel: cancel, Cut: cancel + end.mercy, Retry: g.nextSlot()}
}

// finiteMoments returns those of a finite response that becomes known at a time.
func (p *Plan) finiteMoments(g *group, at time.Duration) Moments {
	cancel := max(at, g.finite.grace)
	if g.rule.Grace == ToTheEnd {
		at = cancel
	}
	return Moments{Farewell: at, Cancel: cancel, Cut: min(cancel+g.finite.mercy, p.work), Retry: g.nextSlot()}
}

func (g *group) nextSlot() time.Duration {
	g.slot++
	return g.rule.Reconnect.Slot(g.slot)
}
