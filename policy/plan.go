package policy

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// A Plan holds the moments of one drain. It is made by [NewPlan] and is not safe for concurrent use.
//
// It knows no clock: the caller says what there is, and keeps the moments that it is given. Whatever a rule says, no
// moment is after the end of the work: a rule that doesn't fit is squeezed, all its parts in proportion, and never late.
type Plan struct {
	work   time.Duration
	random rand.PCG
	groups map[Rule]*group
}

// A Subject is one response that a Plan is asked about.
type Subject struct {
	// Rule of the response; nil: the zero Rule. It is read during the call only.
	Rule *Rule
	// Kind of the response, whatever its rule says. Auto is planned as Finite.
	Kind Kind
	// Age is the time since it began, and Idle the time since a byte last moved on it. Only a rule with an Order looks at
	// them; of equals the one that comes first is told first.
	Age, Idle time.Duration
}

// Moments are what a Plan has for one response. The first three are since draining began, none of them before the one
// above it nor after the plan's work; those of [Rule.AgeMoments] are since the response began.
type Moments struct {
	// Farewell is when a stream is told, and when a finite response hears that the server is draining.
	Farewell time.Duration
	// Cancel is when its context is cancelled.
	Cancel time.Duration
	// Cut is when its connection is closed by force.
	Cut time.Duration
	// Retry is the client's reconnect slot: how long after its farewell it is asked to come back.
	Retry time.Duration
}

// maxGap keeps the pace at 200 farewells a second or more, so that a few streams don't hold up a drain for the sake of
// a herd that they are not.
const maxGap = 5 * time.Millisecond

// A group is what a plan keeps of one rule.
type group struct {
	rule           Rule
	stream, finite parts
	slot           uint64  // number of its next reconnect slot
	found          []int32 // its streams, while Begin runs
}

// NewPlan returns a plan for a drain that has work from its first farewell to its last cut; negative: none. Equal seeds
// and equal calls give equal plans.
func NewPlan(work time.Duration, seed uint64) *Plan {
	p := &Plan{work: forever(work), groups: make(map[Rule]*group)}
	p.random.Seed(seed, golden)
	return p
}

// Begin plans for all the responses that a drain found, and returns their moments in the order of all. Streams with
// equal rules, but for Kind, MaxAge and Farewell, are told at an even pace over their rule's Spread, in its Order and never
// fewer than 200 a second, so that a few are done early; those of a rule without a Spread are told all at once. Those of a
// lower Priority begin when the last farewell of a higher one is due.
//
// It takes less than 64 bytes for each response, 32 of which it returns.
func (p *Plan) Begin(all []Subject) []Moments {
	moments := make([]Moments, len(all))
	var paced []*group
	var g *group
	for i, s := range all {
		if i == 0 || s.Rule != all[i-1].Rule {
			g = p.group(s.Rule)
		}
		if s.Kind != Infinite {
			moments[i] = p.finite(g, 0)
			continue
		}
		if len(g.found) == 0 {
			paced = append(paced, g)
		}
		g.found = append(g.found, int32(i))
	}
	slices.SortStableFunc(paced, func(a, b *group) int { return cmp.Compare(b.rule.Priority, a.rule.Priority) })
	var lead, next time.Duration
	for i, g := range paced {
		if i > 0 && g.rule.Priority < paced[i-1].rule.Priority {
			lead = next
		}
		p.sort(g.found, g.rule.Order, all)
		over := p.pace(g, lead, moments)
		if g.rule.Grace != ToTheEnd {
			next = max(next, over)
		}
		g.found = nil
	}
	return moments
}

// Late plans for one response that became known, or turned out to be of another kind, when the drain was at on its way.
// A stream is told at once, unless its rule leaves it alone [ToTheEnd]. Everything is still inside the work, so what comes
// later has less; after its end, all is now.
func (p *Plan) Late(s Subject, at time.Duration) Moments {
	at = min(max(0, at), p.work)
	g := p.group(s.Rule)
	if s.Kind != Infinite {
		return p.finite(g, at)
	}
	end := p.left(g.rule, at)
	return g.tell(at+end.grace, end)
}

// Reschedule returns m for a stream under r that is told only now, after m.Farewell, because whoever keeps the moments was held
// up. The times that follow the farewell are the rule's, as far as the work lasts, and its slot is that of m.
func (p *Plan) Reschedule(m Moments, r Rule, now time.Duration) Moments {
	at := min(max(m.Farewell, now), p.work)
	r.Grace = 0
	end := p.left(r, at)
	m.Farewell, m.Cancel, m.Cut = at, at+end.timeout, at+end.timeout+end.mercy
	return m
}

// left returns the parts that a stream under r has within what is left of the work, when it is not paced any more.
func (p *Plan) left(r Rule, at time.Duration) parts {
	r.Spread = 0
	if r.Grace != ToTheEnd {
		r.Grace = 0
	}
	return r.stream(p.work - at)
}

// Pick chooses the n streams that are told when only a part is: it returns the indices into all of the first n in the given
// Order, or of all where there are fewer.
func (p *Plan) Pick(all []Subject, order Order, n int) []int32 {
	picked := make([]int32, len(all))
	for i := range picked {
		picked[i] = int32(i)
	}
	p.sort(picked, order, all)
	return picked[:min(max(0, n), len(picked))]
}

func (p *Plan) group(of *Rule) *group {
	var r Rule
	if of != nil {
		r = *of
	}
	// What says nothing about a drain's moments. A handler may give each of its streams an age and a farewell of its own,
	// and they would all be told at once if each were a group by itself.
	r.Kind, r.MaxAge, r.Farewell = Auto, 0, Farewell{}
	g := p.groups[r]
	if g == nil {
		g = &group{rule: r, stream: r.stream(p.work), finite: r.finite(p.work), slot: p.random.Uint64()}
		p.groups[r] = g
	}
	return g
}

// sort puts places in all into the order in which those that stand there are told.
func (p *Plan) sort(found []int32, order Order, all []Subject) {
	if order == Random {
		p.shuffle(found)
		return
	}
	slices.SortFunc(found, func(a, b int32) int {
		return cmp.Or(order.compare(&all[a], &all[b]), cmp.Compare(a, b))
	})
}

// shuffle is written out because rand.Shuffle may change from one release of Go to the next, and plans should not.
func (p *Plan) shuffle(order []int32) {
	for n := len(order) - 1; n > 0; n-- {
		k := portion(n+1, p.random.Uint64())
		order[n], order[k] = order[k], order[n]
	}
}

// pace gives each stream of g a place on an even grid over the window and delays it by up to half a gap: enough not to
// beat in step with other servers' drains, too little to bunch up. The window begins after lead; pace returns when it is
// over.
func (p *Plan) pace(g *group, lead time.Duration, moments []Moments) (over time.Duration) {
	end := g.stream
	if lead > 0 {
		end = g.rule.after(lead).stream(p.work - lead)
	}
	begin := lead + end.grace
	n := time.Duration(len(g.found))
	window := min(end.spread, n*maxGap)
	for k, i := range g.found {
		place := ratio(window, time.Duration(k), n)
		jitter := portion(window/n/2, p.random.Uint64())
		moments[i] = g.tell(begin+place+jitter, end)
	}
	return min(begin+max(window, AtOnce), p.work)
}

func (g *group) tell(at time.Duration, end parts) Moments {
	cancel := at + end.timeout
	return Moments{Farewell: at, Cancel: cancel, Cut: cancel + end.mercy, Retry: g.retry()}
}

func (p *Plan) finite(g *group, at time.Duration) Moments {
	cancel := max(at, g.finite.grace)
	if g.rule.Grace == ToTheEnd {
		at = cancel
	}
	return Moments{Farewell: at, Cancel: cancel, Cut: min(cancel+g.finite.mercy, p.work), Retry: g.retry()}
}

func (g *group) retry() time.Duration {
	g.slot++
	return g.rule.Reconnect.Slot(g.slot)
}
