package main

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// figures are what came of one drain, from both ends.
type figures struct {
	config
	limit                 time.Duration // that the drain had
	forEvents, forSockets course

	began  time.Time     // the zero of all times here
	took   time.Duration // by the drain
	err    error         // of it
	report middleware.Report
	seen   []sighting
	cuts   []cut
}

// squeezed tells whether the rules had less time than they ask for.
func (f *figures) squeezed() bool { return f.budget > 0 && f.limit == f.budget }

// due is when the last stream is over that is told: the rules' spread and timeout, or all that a squeezed drain has.
func (f *figures) due() time.Duration {
	if f.squeezed() {
		return f.limit
	}
	return min(f.limit, f.spread+answerTimeout)
}

// faults are what clients found wrong, and the drain's own error.
func (f *figures) faults() (all []string) {
	if f.err != nil {
		all = append(all, f.err.Error())
	}
	for _, s := range f.seen {
		if s.Fault != "" {
			all = append(all, s.Fault)
		}
	}
	return all
}

// told are the moments of the farewells that clients had.
func (f *figures) told() []time.Duration {
	return append(f.toldOf(false), f.toldOf(true)...)
}

func (f *figures) toldOf(socket bool) (all []time.Duration) {
	for _, s := range f.seen {
		if !s.Told.IsZero() && s.Socket == socket {
			all = append(all, s.Told.Sub(f.began))
		}
	}
	return all
}

// ends tells when the last stream was over that was told, and how long one took from its farewell to its end, at most.
func (f *figures) ends() (last, longest time.Duration) {
	for _, s := range f.seen {
		if !s.Told.IsZero() && !s.Ended.IsZero() {
			last, longest = max(last, s.Ended.Sub(f.began)), max(longest, s.Ended.Sub(s.Told))
		}
	}
	return last, longest
}

// pace is the mean of farewells in a stretch of time as long as width, while both routes have some to be told.
func (f *figures) pace(width time.Duration) (mean float64) {
	for _, c := range []course{f.forEvents, f.forSockets} {
		if c.n > 0 {
			mean += float64(c.n) * float64(width) / float64(c.window)
		}
	}
	return mean
}

// worst is the most of the moments in any stretch of time that is width long.
func worst(moments []time.Duration, width time.Duration) (most int) {
	moments = slices.Sorted(slices.Values(moments))
	first := 0
	for i, at := range moments {
		for at-moments[first] >= width {
			first++
		}
		most = max(most, i+1-first)
	}
	return most
}

// off tells how far farewells came before their places, at most, and how far behind. The first to be told is held against
// the first place, and so on; the slots of those that were stuck are known from their deadlines.
func (f *figures) off() (early, late time.Duration) {
	hold := func(c course, told []time.Duration) {
		slices.Sort(told)
		for k, at := range told {
			early, late = max(early, c.place(k)-at), max(late, at-c.place(k))
		}
	}
	events := f.toldOf(false)
	for _, c := range f.cuts {
		events = append(events, c.cancel.Sub(f.began)-f.forEvents.timeout)
	}
	hold(f.forEvents, events)
	hold(f.forSockets, f.toldOf(true))
	return early, late
}

// bins is how many a histogram of the slots has: a hundred slots in each. More would show the grain of any draw, fewer
// hide a peak.
func (f *figures) bins() int { return max(1, (f.streams-f.stuck)/100) }

// slots are the reconnect slots that clients got.
func (f *figures) slots() []time.Duration {
	var all []time.Duration
	for _, s := range f.seen {
		if !s.Told.IsZero() {
			all = append(all, s.Retry)
		}
	}
	return all
}

// peak is the fullest of a histogram's bins over w, as a multiple of their mean, and how many slots were outside of w.
func peak(slots []time.Duration, w policy.Window, bins int) (over float64, outside int) {
	counts := make([]int, bins)
	for _, s := range slots {
		bin := int64(s-w.Min) * int64(bins) / int64(w.Max-w.Min)
		if s < w.Min || s >= w.Max {
			outside++
			continue
		}
		counts[bin]++
	}
	mean := float64(len(slots)) / float64(bins)
	return float64(slices.Max(counts)) / max(mean, 1), outside
}

// drawn is as many slots as f's, drawn without regard for each other: what most clients do that choose for themselves.
func (f *figures) drawn() []time.Duration {
	random := rand.New(rand.NewPCG(1, 2))
	all := make([]time.Duration, len(f.slots()))
	for i := range all {
		all[i] = window.Min + time.Duration(random.Int64N(int64(window.Max-window.Min)))
	}
	return all
}

// cutOff tells how long after its deadline each stuck stream was cut: at the least, and at the most.
func (f *figures) cutOff() (least, most time.Duration) {
	late := func(c cut) time.Duration { return c.at.Sub(c.cancel.Add(f.forEvents.mercy)) }
	byLateness := func(a, b cut) int { return cmp.Compare(late(a), late(b)) }
	return late(slices.MinFunc(f.cuts, byLateness)), late(slices.MaxFunc(f.cuts, byLateness))
}
