package policy

import "math"

// youth is the part of a MaxAge by which the ages of a rule's streams differ.
const youth = 5

// AgeMoments returns the moments of the k-th stream under r that is to end by its MaxAge, since that stream began: its farewell
// comes in the last fifth of MaxAge, and Timeout and Mercy after it, which no budget bounds. It reports false where r
// lets streams become any age. Ages and slots come from a low-discrepancy sequence, as those of [Window.Slot] do: streams
// that began together are told at an even pace. AgeMoments is pure.
func (r Rule) AgeMoments(k uint64) (Moments, bool) {
	if r.MaxAge <= 0 || r.MaxAge == ToTheEnd {
		return Moments{}, false
	}
	end := Rule{Timeout: r.Timeout, Mercy: r.Mercy}.stream(math.MaxInt64 / 8)
	age := forever(r.MaxAge)
	// Whoever is told later has the later slot too, so that the returns are as flat as both: the other way round, the two
	// could cancel out.
	told := age - age/youth + portion(age/youth, k*golden)
	return Moments{Farewell: told, Cancel: told + end.timeout, Cut: told + end.timeout + end.mercy, Retry: r.Reconnect.Slot(k)}, true
}
