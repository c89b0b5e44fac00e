package main

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// figures are what server and clients measured in one drain.
type figures struct {
	config
	limit                 time.Duration // the time that the drain had
	forEvents, forSockets schedule

	began   time.Time     // when the drain began; the moments below are counted from here
	took    time.Duration // how long the drain took
	err     error         // what Shutdown returned
	report  middleware.Report
	results []result // of all clients
	cuts    []cut    // of the stuck ones, as their handlers saw them
}

// squeezed reports whether the drain had less time than its rules specify.
func (f *figures) squeezed() bool { return f.budget > 0 && f.limit == f.budget }

// deadline returns when the last stream that gets a farewell has ended: after the rules' spread and
// timeout, or at the end of a squeezed drain.
func (f *figures) deadline() time.Duration {
	if f.squeezed() {
		return f.limit
	}
	return min(f.limit, f.spread+replyTimeout)
}

// faults returns what clients found wrong, and the drain's own error.
func (f *figures) faults() (all []string) {
	if f.err != nil {
		all = append(all, f.err.Error())
	}
	for _, s := range f.results {
		if s.Fault != "" {
			all = append(all, s.Fault)
		}
	}
	return all
}

// told returns the moments of all farewells that clients got.
func (f *figures) told() []time.Duration {
	return append(f.toldOf(false), f.toldOf(true)...)
}

// toldOf returns those of the WebSockets or of the event streams.
func (f *figures) toldOf(socket bool) (all []time.Duration) {
	for _, s := range f.results {
		if !s.Told.IsZero() && s.Socket == socket {
			all = append(all, s.Told.Sub(f.began))
		}
	}
	return all
}

// ends returns when the last stream that got a farewell ended, and the longest time from a farewell
// to the stream's end.
func (f *figures) ends() (last, longest time.Duration) {
	for _, s := range f.results {
		if !s.Told.IsZero() && !s.Ended.IsZero() {
			last, longest = max(last, s.Ended.Sub(f.began)), max(longest, s.Ended.Sub(s.Told))
		}
	}
	return last, longest
}

// rate returns how many farewells there are on average in a time as long as width, while both
// routes have some left.
func (f *figures) rate(width time.Duration) (mean float64) {
	for _, c := range []schedule{f.forEvents, f.forSockets} {
		if c.n > 0 {
			mean += float64(c.n) * float64(width) / float64(c.window)
		}
	}
	return mean
}

// worst returns the largest number of moments in any time that is width long.
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

// deviation returns how far farewells came before and after they were due, at most. The first
// farewell is compared with the first due time and so on. Stuck streams got none that a client
// could see; when theirs was due follows from when they were canceled.
func (f *figures) deviation() (early, late time.Duration) {
	compare := func(c schedule, told []time.Duration) {
		slices.Sort(told)
		for k, at := range told {
			early, late = max(early, c.dueAt(k)-at), max(late, at-c.dueAt(k))
		}
	}
	events := f.toldOf(false)
	for _, c := range f.cuts {
		events = append(events, c.cancel.Sub(f.began)-f.forEvents.timeout)
	}
	compare(f.forEvents, events)
	compare(f.forSockets, f.toldOf(true))
	return early, late
}

// bins returns how many bins a histogram of the slots has, with about a hundred slots each: with
// more bins any draw looks uneven, with fewer a peak disappears.
func (f *figures) bins() int { return max(1, (f.streams-f.stuck)/100) }

// slots returns the reconnect slots that clients got.
func (f *figures) slots() []time.Duration {
	var all []time.Duration
	for _, s := range f.results {
		if !s.Told.IsZero() {
			all = append(all, s.Retry)
		}
	}
	return all
}

// peak returns the fullest of a histogram's bins over w, as a multiple of their mean, and how many
// slots were outside of w.
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

// independentSlots returns as many slots as clients got, each drawn by itself at random, as clients
// do that choose their own delay.
func (f *figures) independentSlots() []time.Duration {
	random := rand.New(rand.NewPCG(1, 2))
	all := make([]time.Duration, len(f.slots()))
	for i := range all {
		all[i] = window.Min + time.Duration(random.Int64N(int64(window.Max-window.Min)))
	}
	return all
}

// cutDelays returns how long after its deadline a stuck stream was cut, at least and at most.
func (f *figures) cutDelays() (least, most time.Duration) {
	delay := func(c cut) time.Duration { return c.at.Sub(c.cancel.Add(f.forEvents.mercy)) }
	byDelay := func(a, b cut) int { return cmp.Compare(delay(a), delay(b)) }
	return delay(slices.MinFunc(f.cuts, byDelay)), delay(slices.MaxFunc(f.cuts, byDelay))
}
