package policy

import (
	"cmp"
	"fmt"
	"time"
)

// A Budget is the time that a whole drain may take. It has to end before the platform's own deadline, which cuts
// everything (Kubernetes: terminationGracePeriodSeconds less the preStop hook; systemd: TimeoutStopSec). The zero Budget
// is 25 s in all, under Kubernetes' default of 30 s.
type Budget struct {
	// Total is the time from the drain's start to its end; zero: 25 s.
	Total time.Duration
	// Announce is the first part of it, in which the server is not ready any more but still serves; zero: none.
	Announce time.Duration
	// Reserve is the last part of it, kept for what comes after the last cut: in its first half the handlers that were cut
	// have to return, before they are given up and reported as running, and the rest is for the connections that are left.
	// What main does when the drain is over, databases to close and logs to flush, is outside of Total. Zero: 10 % of Total,
	// but at least 1 s, at most 2 s, and never over half of Total.
	Reserve time.Duration
}

const (
	defaultTotal = 25 * time.Second
	minReserve   = 1 * time.Second
	maxReserve   = 2 * time.Second
)

// WithDefaults returns b with Total and Reserve filled in and all three clamped, so that none is
// negative and Announce and Reserve add up to no more than Total. What is left of Total,
//
//	b = b.WithDefaults()
//	work := b.Total - b.Announce - b.Reserve
//
// is the time that the responses have between them, from the first farewell to the last cut.
func (b Budget) WithDefaults() Budget {
	total := max(0, b.total())
	announce := min(max(0, b.Announce), total)
	return Budget{Total: total, Announce: announce, Reserve: min(max(0, b.reserve()), total-announce)}
}

// work returns the time that the responses have between them.
func (b Budget) work() time.Duration {
	b = b.WithDefaults()
	return b.Total - b.Announce - b.Reserve
}

// total returns Total or its default.
func (b Budget) total() time.Duration { return cmp.Or(b.Total, defaultTotal) }

// reserve returns Reserve or its default.
func (b Budget) reserve() time.Duration {
	total := max(0, b.total())
	return cmp.Or(b.Reserve, min(max(total/10, minReserve), maxReserve, total/2))
}

// Over returns b where it says something, and base where b is zero, field by field: what the environment says over what
// is in a file, say.
func (b Budget) Over(base Budget) Budget {
	return Budget{
		Total:    cmp.Or(b.Total, base.Total),
		Announce: cmp.Or(b.Announce, base.Announce),
		Reserve:  cmp.Or(b.Reserve, base.Reserve),
	}
}

// Validate reports all that is wrong with b, joined: a time that is negative or has lost its unit, or parts that leave no
// time for the responses.
func (b Budget) Validate() error { return joined("policy: ", b.faults()) }

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

// totalFor returns the least Total, rounded up to a millisecond, under which the responses have at least work. A Reserve that is
// left to its default grows with Total, so it is solved for rather than added.
func (b Budget) totalFor(work time.Duration) time.Duration {
	rest := forever(work) + forever(b.Announce)
	reserve := forever(b.Reserve)
	if reserve == 0 {
		// What is a tenth of the whole is a ninth of the rest, and half of the whole is as much as the rest.
		reserve = min(max((rest+8)/9, minReserve), maxReserve, rest)
	}
	return (rest + reserve + time.Millisecond - 1).Truncate(time.Millisecond)
}
