package main

import (
	"slices"
	"time"
)

// figures are what a roll is judged by.
type figures struct {
	strategy string
	// peak is the most connects in any 100 ms over the fleet, single the most in any one replica.
	peak, single int
	// median and tail are the time out of service in the whole roll that half of the clients and 99 % of them don't exceed.
	median, tail time.Duration
	// again is how many clients were moved more than once, moves how often all were.
	again, moves int
	// took is how long the roll did.
	took time.Duration
}

// window is the length in which connects are counted.
const window = 100 * time.Millisecond

func (t trace) figures(strategy string) figures {
	f := figures{strategy: strategy, moves: len(t.connects), took: t.took}
	f.peak, f.single = peaks(t.connects, len(t.homes))
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

// peaks returns the most connects in any stretch as long as window, wherever it begins: in all, and in one replica.
func peaks(connects []connect, replicas int) (all, one int) {
	inside := make([]int, replicas) // connects since the window's begin, of each replica
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

// quantile returns the least of the sorted values that so many percent of them don't exceed; of none it is zero.
func quantile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*percent+99)/100-1)]
}

// worst returns the most connects in any of the windows on a fixed grid, for each stretch of time of that length, which
// is a multiple of window: what a picture of many windows needs.
func worst(connects []connect, each, until time.Duration) []int {
	most := make([]int, (until+each-1)/each)
	n := 0
	for i, c := range connects {
		if i == 0 || c.at/window != connects[i-1].at/window {
			n = 0
		}
		n++
		if k := int(c.at / each); k < len(most) {
			most[k] = max(most[k], n)
		}
	}
	return most
}
