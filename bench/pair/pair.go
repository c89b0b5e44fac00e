// Package pair compares two variants of the same operation on a machine that does other things too.
package pair

import (
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

// A Variant sets up one way to do an operation and returns a function that does it n times. It ends
// what it set up by tb.Cleanup.
type Variant func(tb testing.TB) (do func(n int))

// Turn is a turn's length where no other is needed: long compared with a time slice of the
// scheduler and with reading the clock, short compared with changes in the machine's load.
const Turn = 5 * time.Millisecond

// turns is how many turns each variant has in a round. After a round both are set up anew: two sets
// of connections differ by some percent in how the kernel has placed them, for as long as they
// live.
const turns = 4

// Compare runs bare and wrapped in alternating turns, in rounds of which b counts the iterations,
// and reports the medians of all rounds
//
//	ratio      bare's time over wrapped's
//	cpu-ratio  the same of this process's CPU time, which other processes disturb less; Unix only
//
// and ns/op, allocs/op and B/op of wrapped, with bare-ns/op and bare-allocs/op beside them. turn is
// about how long a turn is, and size how many bytes one operation moves, for MB/s; zero: none.
func Compare(b *testing.B, turn time.Duration, size int, bare, wrapped Variant) {
	// A garbage collection takes as long as a turn and would fall on one variant by chance, or
	// always on the same one. So there is one before each turn and none during it.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var bareCost, wrappedCost cost
	var ratios, cpuRatios []float64
	n := 0 // operations in a turn
	for round := 0; b.Loop(); round++ {
		Within(b, func(tb testing.TB) {
			var doBare, doWrapped func(int)
			if round%2 == 0 {
				doBare, doWrapped = bare(tb), wrapped(tb)
			} else {
				doWrapped, doBare = wrapped(tb), bare(tb)
			}
			if n == 0 {
				n = calibrate(doBare, turn)
			}
			// Both warm up for two whole turns: the first turn after the first collection is
			// faster, and without this two equal variants differed by a percent.
			for _, do := range []func(int){doBare, doWrapped, doWrapped, doBare} {
				measure(do, n)
			}
			var each, cpu []float64
			for k := range turns {
				var ofBare, ofWrapped cost
				if k%2 == 0 {
					ofBare, ofWrapped = measure(doBare, n), measure(doWrapped, n)
				} else {
					ofWrapped, ofBare = measure(doWrapped, n), measure(doBare, n)
				}
				bareCost.add(ofBare)
				wrappedCost.add(ofWrapped)
				each = append(each, float64(ofBare.took)/float64(ofWrapped.took))
				cpu = append(cpu, float64(ofBare.cpu)/float64(ofWrapped.cpu))
			}
			ratios, cpuRatios = append(ratios, median(each)), append(cpuRatios, median(cpu))
		})
	}
	b.ReportAllocs()
	ops := float64(len(ratios) * turns * n)
	b.ReportMetric(median(ratios), "ratio")
	if bareCost.cpu > 0 {
		b.ReportMetric(median(cpuRatios), "cpu-ratio")
	}
	b.ReportMetric(float64(wrappedCost.took)/ops, "ns/op")
	b.ReportMetric(float64(bareCost.took)/ops, "bare-ns/op")
	b.ReportMetric(math.Round(float64(wrappedCost.allocs)/ops), "allocs/op")
	b.ReportMetric(math.Round(float64(bareCost.allocs)/ops), "bare-allocs/op")
	b.ReportMetric(math.Round(float64(wrappedCost.bytes)/ops), "B/op")
	if size > 0 {
		b.ReportMetric(float64(size)*ops/1e6/wrappedCost.took.Seconds(), "MB/s")
	}
}

// calibrate returns how many operations fill a turn, at least 32, so that each of several clients
// has some.
func calibrate(do func(int), turn time.Duration) int {
	for n := 1; ; n *= 2 {
		began := time.Now()
		do(n)
		if took := time.Since(began); took >= turn/2 {
			return max(32, int(float64(n)*float64(turn)/float64(took)))
		}
	}
}

// A cost is what one or more turns have cost.
type cost struct {
	took, cpu     time.Duration
	allocs, bytes uint64
}

func (c *cost) add(d cost) {
	c.took += d.took
	c.cpu += d.cpu
	c.allocs += d.allocs
	c.bytes += d.bytes
}

// measure runs one turn. Reading the allocation counters is not part of its time.
func measure(do func(int), n int) (c cost) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began, cpu := time.Now(), cpuTime()
	do(n)
	c.took, c.cpu = time.Since(began), cpuTime()-cpu
	runtime.ReadMemStats(&after)
	c.allocs, c.bytes = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	return c
}

func median(v []float64) float64 {
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// Within runs f with a testing.TB whose Cleanup functions run before Within returns, and not at the
// end of tb.
func Within(tb testing.TB, f func(testing.TB)) {
	s := &scope{TB: tb}
	defer s.end()
	f(s)
}

type scope struct {
	testing.TB
	undo []func()
}

func (s *scope) Cleanup(f func()) { s.undo = append(s.undo, f) }

func (s *scope) end() {
	for _, f := range slices.Backward(s.undo) {
		f()
	}
}
