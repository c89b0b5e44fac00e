package main

import (
	"slices"
	"time"
)

// figures are the measures of one roll.
type figures struct {
	strategy string
	// peak is the most connects in any 100 ms in the whole fleet, single the most in one replica.
	peak, single int
	// median and tail are the time out of service, in the whole roll, that half of the clients and
	// 99 % of them don't exceed.
	median, tail time.Duration
	// again is how many clients were moved more than once, moves the moves of all clients.
	again, moves int
	// took is the time until the last replica was ready again.
	took time.Duration
}

// window is the length of time in which connects are counted.
const window = 100 * time.Millisecond

// figures returns the measures of the roll.
func (t trace) figures(strategy string) figures {
	f := figures{strategy: strategy, moves: len(t.connects), took: t.took}
	f.peak, f.single = peaks(t.connects, len(t.clients))
	for _, n := range t.moves {
		if n > 1 {
			f.again++
		}
	}
	away := slices.Clone(t.away)
	slices.Sort(away)
	f.median, f.tail = quantile(away, 50), quantile(away, 99)
	return f
}

// peaks returns the most connects in any time as long as window, wherever it begins: in the whole
// fleet, and in one replica.
func peaks(connects []connect, replicas int) (all, one int) {
	inside := make([]int, replicas) // by replica, the connects in the window
	first := 0
	for i, c := range connects {
		for c.at-connects[first].at >= window {
			inside[connects[first].replica]--
			first++
		}
		inside[c.replica]++
		all, one = max(all, i-first+1), max(one, inside[c.replica])
	}
	return all, one
}

// quantile returns the smallest of the sorted values that the given percentage of them don't
// exceed, zero if there are none.
func quantile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}

// worst returns, for each period up to until, the most connects in one window of it. A period is a
// multiple of window, and windows begin at its multiples.
func worst(connects []connect, period, until time.Duration) []int {
	most := make([]int, (until+period-1)/period)
	n := 0
	for i, c := range connects {
		if i == 0 || c.at/window != connects[i-1].at/window {
			n = 0
		}
		n++
		if k := int(c.at / period); k < len(most) {
			most[k] = max(most[k], n)
		}
	}
	return most
}
