package policy

import (
	"cmp"
	"math"
	"time"
)

// parts are the lengths of the parts of one response's drain, in the order in which they pass.
type parts struct{ grace, spread, timeout, mercy time.Duration }

func (p parts) sum() time.Duration { return p.grace + p.spread + p.timeout + p.mercy }

// specified returns the parts that r specifies for its own kind. Zero are those that it leaves to
// their defaults, invalid ones, and a grace that takes all the time there is.
func (r Rule) specified() parts {
	p := parts{grace: clamp(r.Grace), mercy: clamp(r.Mercy)}
	if r.Grace == ToTheEnd {
		p.grace = 0
	}
	if r.Kind != Finite {
		p.spread, p.timeout = clamp(r.Spread), clamp(r.Timeout)
	}
	return p
}

// afterWait returns r for streams whose farewells wait for others: the grace passes during the
// wait, and what is left of it comes after.
func (r Rule) afterWait(wait time.Duration) Rule {
	if r.Grace != ToTheEnd {
		r.Grace = max(0, r.Grace-wait)
	}
	return r
}

// streamParts returns the parts that a stream under r has within work. They add up to no more.
// answers says whether its peer has to answer the farewell.
func (r Rule) streamParts(work time.Duration, answers bool) parts {
	r.Kind = Infinite
	p := r.specified()
	defaults := parts{}
	switch {
	case p.timeout != 0:
	case answers:
		defaults.timeout = answerTimeout
	default:
		defaults.timeout = defaultTimeout
	}
	if p.mercy == 0 {
		defaults.mercy = defaultMercy
	}
	p = p.within(work, defaults)
	if r.Grace == ToTheEnd {
		p.grace = work - p.sum()
	}
	return p
}

// finiteParts returns the parts that a finite response under r has within work: the grace until it
// is canceled, the mercy until it is cut.
func (r Rule) finiteParts(work time.Duration) parts {
	r.Kind = Finite
	p := r.specified()
	if p.grace > 0 {
		defaults := parts{}
		if p.mercy == 0 {
			defaults.mercy = defaultMercy
		}
		return p.within(work, defaults)
	}
	// A zero grace is all the time there is, and the mercy must leave most of it: one that is left
	// to its default or doesn't fit takes a quarter at most.
	if p.mercy == 0 || p.mercy > work {
		p.mercy = min(cmp.Or(p.mercy, defaultMercy), work/4)
	}
	p.grace = work - p.mercy
	return p
}

// within returns p with the defaults added, made to fit into work.
//
// While p fits, its parts keep their exact lengths and only the defaults are scaled down. Once p
// doesn't fit, all parts are scaled down alike, the defaults too, so that each keeps some time: a
// stream that were cut at the moment of its farewell could not even read it.
func (p parts) within(work time.Duration, defaults parts) parts {
	room := work - p.sum()
	if room >= 0 {
		defaults = defaults.scaledTo(room)
	}
	p.timeout += defaults.timeout
	p.mercy += defaults.mercy
	return p.scaledTo(work)
}

// scaledTo returns p scaled down so that its parts add up to room, or p if they add up to no more.
// It rounds the moments at which parts end, not their lengths, so that the last one ends at room
// exactly.
func (p parts) scaledTo(room time.Duration) parts {
	total := p.sum()
	if total <= room {
		return p
	}
	var unscaled, scaled time.Duration // the end of the part so far
	next := func(part time.Duration) time.Duration {
		unscaled += part
		begin := scaled
		scaled = ratio(unscaled, room, total)
		return scaled - begin
	}
	return parts{grace: next(p.grace), spread: next(p.spread), timeout: next(p.timeout), mercy: next(p.mercy)}
}

// clamp returns d bounded to zero and 36 years (an eighth of the largest Duration), so that several
// can be added up without overflow.
func clamp(d time.Duration) time.Duration { return min(max(0, d), math.MaxInt64/8) }
