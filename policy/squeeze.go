package policy

import (
	"cmp"
	"math"
	"time"
)

// parts are the lengths that a drain of one response is made of, in the order in which they pass.
type parts struct{ grace, spread, timeout, mercy time.Duration }

func (p parts) sum() time.Duration { return p.grace + p.spread + p.timeout + p.mercy }

// said returns what r says about its own kind. What it says nothing about, what can't be, and a grace that takes what is
// left are zero.
func (r Rule) said() parts {
	p := parts{grace: forever(r.Grace), mercy: forever(r.Mercy)}
	if r.Grace == ToTheEnd {
		p.grace = 0
	}
	if r.Kind != Finite {
		p.spread, p.timeout = forever(r.Spread), forever(r.Timeout)
	}
	return p
}

// after returns r as it is for streams that are not told before lead: what is over of their grace by then is over.
func (r Rule) after(lead time.Duration) Rule {
	if r.Grace != ToTheEnd {
		r.Grace = max(0, r.Grace-lead)
	}
	return r
}

// stream returns the parts that a stream under r has within work. They never add up to more.
func (r Rule) stream(work time.Duration) parts {
	r.Kind = Infinite
	p := r.said()
	usual := parts{}
	if p.timeout == 0 {
		usual.timeout = defaultTimeout
	}
	if p.mercy == 0 {
		usual.mercy = defaultMercy
	}
	p = p.within(work, usual)
	if r.Grace == ToTheEnd {
		p.grace = work - p.sum()
	}
	return p
}

// finite returns the parts that a finite response under r has within work: grace until cancel, mercy until cut.
func (r Rule) finite(work time.Duration) parts {
	r.Kind = Finite
	p := r.said()
	if p.grace > 0 {
		usual := parts{}
		if p.mercy == 0 {
			usual.mercy = defaultMercy
		}
		return p.within(work, usual)
	}
	// It has all the time there is. A mercy that leaves none of it may take a quarter, which is the share that a
	// stream's usual mercy has of its usual end.
	if p.mercy == 0 || p.mercy > work {
		p.mercy = min(cmp.Or(p.mercy, defaultMercy), work/4)
	}
	p.grace = work - p.mercy
	return p
}

// within makes p, and as much of the usual lengths of what p leaves unsaid as there is room for, fit into work.
//
// While what is said fits it stands to the nanosecond, and the unsaid yields. Once it doesn't, all shrink alike, the
// unsaid too: a farewell that is cut in the same instant would be worth nothing.
func (p parts) within(work time.Duration, usual parts) parts {
	room := work - p.sum()
	if room >= 0 {
		usual = usual.squeezed(room)
	}
	p.timeout += usual.timeout
	p.mercy += usual.mercy
	return p.squeezed(work)
}

// squeezed returns p scaled down in proportion to add up to room, or p where it adds up to no more already. What is
// rounded is where each part ends, so that nothing gets lost on the way and the last one ends with the room.
func (p parts) squeezed(room time.Duration) parts {
	whole := p.sum()
	if whole <= room {
		return p
	}
	var said, end time.Duration
	next := func(part time.Duration) time.Duration {
		said += part
		begin := end
		end = ratio(said, room, whole)
		return end - begin
	}
	return parts{grace: next(p.grace), spread: next(p.spread), timeout: next(p.timeout), mercy: next(p.mercy)}
}

// forever takes a negative length for none, and whatever is over 36 years for 36 years, so that lengths can be added up
// without a thought of overflow.
func forever(d time.Duration) time.Duration { return min(max(0, d), math.MaxInt64/8) }
