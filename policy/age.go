package policy

import "math"

// ageJitter is the part of a MaxAge, one fifth, over which the ages of a rule's streams are spread.
const ageJitter = 5

// AgeMoments returns the moments of the k-th stream under r that is to end by its MaxAge, counted
// from when that stream began: its farewell comes in the last fifth of MaxAge, and Timeout and
// Mercy follow it, which no budget bounds. answers is as in [Subject]. AgeMoments reports false
// where r lets streams become any age.
//
// Ages and slots come from a low-discrepancy sequence, as those of [Window.Slot] do, so streams
// that began together get their farewells evenly spread. AgeMoments is pure.
func (r Rule) AgeMoments(k uint64, answers bool) (Moments, bool) {
	if r.MaxAge <= 0 || r.MaxAge == ToTheEnd {
		return Moments{}, false
	}
	end := Rule{Timeout: r.Timeout, Mercy: r.Mercy}.streamParts(math.MaxInt64/8, answers)
	age := clamp(r.MaxAge)
	// A later farewell has a later slot: both rise with k. If one fell while the other rose, their
	// sums, the moments at which clients come back, could bunch up.
	farewell := age - age/ageJitter + mulFrac(age/ageJitter, k*phi64)
	cancel := farewell + end.timeout
	return Moments{Farewell: farewell, Cancel: cancel, Cut: cancel + end.mercy, Retry: r.Reconnect.Slot(k)}, true
}
