package policy

import (
	"cmp"
	"fmt"
	"time"
)

// A Budget is the time that a whole drain may take. It has to end before the platform's own
// deadline does (Kubernetes: terminationGracePeriodSeconds less the preStop hook; systemd:
// TimeoutStopSec), since that cuts everything. The zero Budget is 25 s in all, under Kubernetes'
// default of 30 s.
type Budget struct {
	// Total is the time from the drain's start to its end. Zero: 25 s.
	Total time.Duration
	// Announce is the first part of Total, in which the server reports that it is not ready but
	// still serves everything. Zero: none.
	Announce time.Duration
	// Reserve is the last part of Total, kept for what comes after the last cut. In its first half
	// the handlers that were cut have to return, before they are given up and reported as running;
	// the rest is for closing the connections that are left. Zero: 10 % of Total, but at least 1 s,
	// at most 2 s, and never over half of Total. It is not for what main does after the drain, such
	// as closing databases and flushing logs: that comes on top of Total.
	Reserve time.Duration
}

const (
	defaultTotal = 25 * time.Second
	minReserve   = 1 * time.Second
	maxReserve   = 2 * time.Second
)

// WithDefaults returns b with Total and Reserve filled in, and clamped so that no field is negative
// and Announce and Reserve add up to no more than Total. What they leave of Total is the time that
// the responses have between them, from the first farewell to the last cut:
//
//	b = b.WithDefaults()
//	work := b.Total - b.Announce - b.Reserve
//
// Only a Budget that [Budget.Validate] finds fault with is changed by the clamping.
func (b Budget) WithDefaults() Budget {
	total := max(0, b.total())
	announce := min(max(0, b.Announce), total)
	return Budget{Total: total, Announce: announce, Reserve: min(max(0, b.reserve()), total-announce)}
}

// work returns the time that the responses have between them. It is never negative.
func (b Budget) work() time.Duration {
	b = b.WithDefaults()
	return b.Total - b.Announce - b.Reserve
}

// total returns Total or its default, also where that is negative.
func (b Budget) total() time.Duration { return cmp.Or(b.Total, defaultTotal) }

// reserve returns Reserve or its default, also where that is negative or more than Total.
func (b Budget) reserve() time.Duration {
	total := max(0, b.total())
	return cmp.Or(b.Reserve, min(max(total/10, minReserve), maxReserve, total/2))
}

// Over returns b with its zero fields taken from base: a budget from the environment, say, over one
// from a file.
func (b Budget) Over(base Budget) Budget {
	return Budget{
		Total:    cmp.Or(b.Total, base.Total),
		Announce: cmp.Or(b.Announce, base.Announce),
		Reserve:  cmp.Or(b.Reserve, base.Reserve),
	}
}

// Validate returns all that is wrong with b as one error, or nil: a time that is negative or so
// short that its unit must be missing, or parts that leave no time for the responses.
func (b Budget) Validate() error { return joinFaults("policy: ", b.faults()) }

func (b Budget) faults() (faults []string) {
	for _, part := range []struct {
		name  string
		value time.Duration
	}{{"Total", b.Total}, {"Announce", b.Announce}, {"Reserve", b.Reserve}} {
		faults = append(faults, timeFaults("Budget."+part.name, part.value)...)
	}
	if len(faults) == 0 && b.work() == 0 {
		faults = append(faults, fmt.Sprintf(
			"Budget.Announce %v and Reserve %v leave nothing of Total %v for the responses; raise Total over %v",
			b.Announce, b.reserve(), b.total(), b.totalFor(0)))
	}
	return faults
}

// totalFor returns the least Total, rounded up to a millisecond, that leaves at least work for the
// responses. A zero Reserve stands for a part of the Total that is looked for.
func (b Budget) totalFor(work time.Duration) time.Duration {
	rest := clamp(work) + clamp(b.Announce)
	reserve := clamp(b.Reserve)
	if reserve == 0 {
		// Total is rest plus reserve. Where reserve is a tenth of Total it is a ninth of rest,
		// where it is half of Total it equals rest.
		reserve = min(max((rest+8)/9, minReserve), maxReserve, rest)
	}
	return (rest + reserve + time.Millisecond - 1).Truncate(time.Millisecond)
}
