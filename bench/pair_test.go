package bench

import (
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"syscall"
	"testing"
	"time"
)

// A side is one of two ways to do the same thing: it does it n times. How to
// set one up is a func that takes what it needs to be ended with.
type side func(n int)

const (
	// turnFor is about how long a side's turn in a round takes: long against a
	// scheduler's time slice and the reading of the clock, short against what drifts.
	turnFor = 5 * time.Millisecond
	// rounds make a sitting, after which both sides are set up anew: two sets of
	// connections differ by some percent in what the kernel has given them, for as
	// long as they live.
	rounds = 4
)

// compare measures bare and wrapped in sittings. What is paid for reading the
// allocation counters is outside of all turns.
func compare(b *testing.B, size int, bare, wrapped func(testing.TB) side) {
	// A collection takes as long as a turn and would fall on one of the sides, by
	// chance or, where their rhythms meet, always on the same: they have none, but
	// one before each turn.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var plain, ours cost
	var ratios, cpuRatios []float64
	n := 0 // operations in a turn
	for sitting := 0; b.Loop(); sitting++ {
		within(b, func(tb testing.TB) {
			var one, other side
			if sitting%2 == 0 {
				one, other = bare(tb), wrapped(tb)
			} else {
				other, one = wrapped(tb), bare(tb)
			}
			if n == 0 {
				n = calibrate(one)
			}
			// Until both are warm. Whole turns, since the one after the first collection
			// is the faster: without them two equal sides differed by a percent.
			for _, s := range []side{one, other, other, one} {
				turn(s, n)
			}
			var each, cpu []float64
			for round := range rounds {
				var before, after cost
				if round%2 == 0 {
					before, after = turn(one, n), turn(other, n)
				} else {
					after, before = turn(other, n), turn(one, n)
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
	b.ReportMetric(median(cpuRatios), "cpu-ratio")
	b.ReportMetric(float64(ours.took)/ops, "ns/op")
	b.ReportMetric(float64(plain.took)/ops, "bare-ns/op")
	b.ReportMetric(math.Round(float64(ours.allocs)/ops), "allocs/op")
	b.ReportMetric(math.Round(float64(plain.allocs)/ops), "bare-allocs/op")
	b.ReportMetric(math.Round(float64(ours.bytes)/ops), "B/op")
	if size > 0 {
		b.ReportMetric(float64(size)*ops/1e6/ours.took.Seconds(), "MB/s")
	}
}

// calibrate finds how many operations fill a turn, in which each peer has several.
func calibrate(s side) int {
	for n := 1; ; n *= 2 {
		begin := time.Now()
		s(n)
		if took := time.Since(begin); took >= turnFor/2 {
			return max(4*peers, int(float64(n)*float64(turnFor)/float64(took)))
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

func turn(s side, n int) (c cost) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began, cpu := time.Now(), cpuTime()
	s(n)
	c.took, c.cpu = time.Since(began), cpuTime()-cpu
	runtime.ReadMemStats(&after)
	c.allocs, c.bytes = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	return c
}

// cpuTime is what this process has used, both ends of its connections included. What
// else runs on the machine disturbs it less than the time on the clock.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(v []float64) float64 {
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// within runs f with what ends all that f sets up before it returns, where b
// would only at the benchmark's end.
func within(tb testing.TB, f func(testing.TB)) {
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
