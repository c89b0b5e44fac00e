package policy_test

import (
	"cmp"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

const (
	ms  = time.Millisecond
	sec = time.Second
)

// numbered returns a different rule for each n.
func numbered(n int) policy.Rule { return policy.Rule{Grace: time.Duration(n) * sec} }

// everyField returns a rule without a zero field.
func everyField() policy.Rule {
	return policy.Rule{
		Kind: policy.Infinite, Grace: 1 * sec, Spread: 2 * sec, Order: policy.IdleFirst, Priority: -3, Timeout: 3500 * ms, Mercy: 4 * time.Microsecond, MaxAge: time.Hour,
		Reconnect: policy.Window{Min: 5 * sec, Max: 6 * time.Minute},
		Farewell:  policy.Farewell{Code: 4001, Reason: "a", Message: "b <&>", Binary: true, Event: "c", Data: "d\ne", Send: policy.SendRetry},
		Format:    policy.PartsFormat, Ending: policy.BrokenEnding, Admit: true,
	}
}

// many returns n responses of one kind under one rule.
func many(n int, r policy.Rule, k policy.Kind) []policy.Subject {
	return slices.Repeat([]policy.Subject{{Rule: &r, Kind: k}}, n)
}

// farewells returns the farewells of all, sorted.
func farewells(of []policy.Moments) []time.Duration {
	at := make([]time.Duration, len(of))
	for i, m := range of {
		at[i] = m.Farewell
	}
	slices.Sort(at)
	return at
}

// worst returns the most of the sorted moments that fall into any stretch of the given length.
func worst(sorted []time.Duration, length time.Duration) (most int) {
	from := 0
	for to, at := range sorted {
		for at-sorted[from] >= length {
			from++
		}
		most = max(most, to-from+1)
	}
	return most
}

// retries returns the slots of all.
func retries(of []policy.Moments) []time.Duration {
	all := make([]time.Duration, len(of))
	for i, m := range of {
		all[i] = m.Retry
	}
	return all
}

// byFarewell returns the indices of all in the order of their farewells.
func byFarewell(moments []policy.Moments) []int {
	at := make([]int, len(moments))
	for i := range at {
		at[i] = i
	}
	slices.SortFunc(at, func(a, b int) int { return cmp.Compare(moments[a].Farewell, moments[b].Farewell) })
	return at
}

// peak returns the fullest of so many equal bins over w, in multiples of the mean.
func peak(slots []time.Duration, w policy.Window, bins int) float64 {
	count, most := make([]int, bins), 0
	for _, s := range slots {
		bin := int(float64(s-w.Min) / float64(w.Max-w.Min) * float64(bins))
		count[bin]++
		most = max(most, count[bin])
	}
	return float64(most) * float64(bins) / float64(len(slots))
}
