package policy

import (
	"cmp"
	"fmt"
	"math/bits"
	"time"
)

// A Window is the time in which a client is asked to come back, counted from its farewell. The zero
// Window is 1 s to 5 s. A Window with only Max set begins at zero.
type Window struct {
	// Min and Max bound a client's slot, which is Min or later and before Max.
	Min, Max time.Duration
}

var defaultWindow = Window{Min: 1 * time.Second, Max: 5 * time.Second}

// phi64 is the golden ratio's conjugate, 0.618…, as a fraction of 2^64. Of all numbers its
// multiples modulo 1 leave the most even gaps, however many are drawn and wherever one begins.
const phi64 = 0x9E3779B97F4A7C15

// Slot returns the k-th slot in the window: Min or later, before Max. Slots come from a
// low-discrepancy sequence, so any run of consecutive k is flat over the window, which independent
// random draws are not. Slot is pure: equal windows and equal k give equal slots on every machine.
func (w Window) Slot(k uint64) time.Duration {
	w = w.orDefault()
	return w.Min + mulFrac(max(0, w.Max-w.Min), k*phi64)
}

func (w Window) orDefault() Window { return cmp.Or(w, defaultWindow) }

func (w Window) text() string { return w.Min.String() + " to " + w.Max.String() }

func (w Window) faults() (faults []string) {
	switch {
	case w.Min < 0 || w.Max < 0:
		faults = append(faults, fmt.Sprintf("Reconnect is %v to %v; a client can't come back before it is told", w.Min, w.Max))
	case w.Min > w.Max:
		faults = append(faults, fmt.Sprintf("Reconnect.Min %v is over Reconnect.Max %v; set Max to %v or more", w.Min, w.Max, w.Min))
	default:
		faults = append(timeFaults("Reconnect.Min", w.Min), timeFaults("Reconnect.Max", w.Max)...)
	}
	return faults
}

// mulFrac returns d × fraction / 2^64, exact and rounded down. d must not be negative.
func mulFrac[T ~int | ~int64](d T, fraction uint64) T {
	hi, _ := bits.Mul64(uint64(d), fraction)
	return T(hi)
}

// ratio returns d × part / whole, exact and rounded down. It computes in 128 bits: floats would
// lose nanoseconds and 64 bits overflow. All must be non-negative, part at most whole, and whole
// over zero.
func ratio(d, part, whole time.Duration) time.Duration {
	hi, lo := bits.Mul64(uint64(d), uint64(part))
	q, _ := bits.Div64(hi, lo, uint64(whole))
	return time.Duration(q)
}
