// Package pair compares two ways to do the same thing, on a machine that does
// other things too.
package pair

import (
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

// A Way sets up one way to do something, with tb to end it by, and gives what
// does it n times.
type Way func(tb testing.TB) (do func(n int))

// Turn is about how long a way has its turn, where nothing speaks for another:
// long against a scheduler's time slice and the reading of the clock, short
// against what drifts.
const Turn = 5 * time.Millisecond

// rounds make a sitting, after which both ways are set up anew: two sets of
// connections differ by some percent in what the kernel has given them, for as
// long as they live.
const rounds = 4

// Compare has bare and wrapped take turns in sittings, of which b counts the
// iterations, and reports the medians of all sittings
//
//	ratio      bare's time over wrapped's
//	cpu-ratio  the same of this process's CPU time, which others disturb less; on Unix
//
// and ns/op, allocs/op and B/op of wrapped with bare-ns/op and bare-allocs/op
// beside them. size is how many bytes one operation moves, for MB/s; zero: none.
func Compare(b *testing.B, turn time.Duration, size int, bare, wrapped Way) {
	// A collection takes as long as a turn and would fall on one of the two, by
	// chance or, where their rhythms meet, always on the same: they have none, but
	// one before each turn.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var plain, ours cost
	var ratios, cpuRatios []float64
	n := 0 // operations in a turn
	for sitting := 0; b.Loop(); sitting++ {
		Within(b, func(tb testing.TB) {
			var one, other func(int)
			if sitting%2 == 0 {
				one, other = bare(tb), wrapped(tb)
			} else {
				other, one = wrapped(tb), bare(tb)
			}
			if n == 0 {
				n = calibrate(one, turn)
			}
			// Until both are warm. Whole turns, since the one after the first collection
			// is the faster: without them two equal ways differed by a percent.
			for _, do := range []func(int){one, other, other, one} {
				take(do, n)
			}
			var each, cpu []float64
			for round := range rounds {
				var before, after cost
				if round%2 == 0 {
					before, after = take(one, n), take(other, n)
				} else {
					after, before = take(other, n), take(one, n)
				}
				plain.add(before)
				ours.add(after)
				each = append(each, float64(before.took)/float64(after.took))
				cpu = append(cpu, float64(before.cpu)/float64(after.cpu))
			}
			ratios, cpuRatios = append(ratios, median(each)), append(cpuRatios, median(cpu))
		})
	}
	b.ReportAllocs()
	ops := float64(len(ratios) * rounds * n)
	b.ReportMetric(median(ratios), "ratio")
	if plain.cpu > 0 {
		b.ReportMetric(median(cpuRatios), "cpu-ratio")
	}
	b.ReportMetric(float64(ours.took)/ops, "ns/op")
	b.ReportMetric(float64(plain.took)/ops, "bare-ns/op")
	b.ReportMetric(math.Round(float64(ours.allocs)/ops), "allocs/op")
	b.ReportMetric(math.Round(float64(plain.allocs)/ops), "bare-allocs/op")
	b.ReportMetric(math.Round(float64(ours.bytes)/ops), "B/op")
	if size > 0 {
		b.ReportMetric(float64(size)*ops/1e6/ours.took.Seconds(), "MB/s")
	}
}

// calibrate finds how many operations fill a turn. They are enough for several
// clients to have some each.
func calibrate(do func(int), turn time.Duration) int {
	for n := 1; ; n *= 2 {
		began := time.Now()
		do(n)
		if took := time.Since(began); took >= turn/2 {
			return max(32, int(float64(n)*float64(turn)/float64(took)))
		}
	}
}

// A cost is what turns have taken.
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

// take is one turn. What is paid for reading the allocation counters is outside.
func take(do func(int), n int) (c cost) {
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

// Within runs f with a testing.TB that ends all that f sets up before Within
// returns, where tb would only at its own end.
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
