package policy_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

// FuzzPlan checks every promise of Plan with any rules, responses and times.
func FuzzPlan(f *testing.F) {
	f.Add(uint64(1), int64(20*sec), uint16(1500), int64(0), int64(10*sec), int64(0), int64(0), int64(5*sec))
	f.Add(uint64(2), int64(2*sec), uint16(3000), int64(9*sec), int64(20*sec), int64(3*sec), int64(sec), int64(3*sec))
	f.Add(uint64(3), int64(-1), uint16(10), int64(-1), int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MinInt64), int64(-5))
	f.Add(uint64(4), int64(math.MaxInt64), uint16(1000), int64(1), int64(math.MaxInt64/2), int64(math.MaxInt64/2), int64(7), int64(math.MaxInt64))
	f.Add(uint64(0x1021), int64(20*sec), uint16(3000), int64(sec), int64(5*sec), int64(2*sec), int64(0), int64(3*sec))
	f.Add(uint64(0x1012), int64(4*sec), uint16(3000), int64(0), int64(5*sec), int64(0), int64(sec), int64(0))
	f.Add(uint64(6), int64(20*sec), uint16(1500), int64(policy.ToTheEnd), int64(5*sec), int64(0), int64(0), int64(3*sec))
	f.Add(uint64(7), int64(20*sec), uint16(50), int64(policy.ToTheEnd), int64(0), int64(0), int64(0), int64(3*sec))
	f.Add(uint64(5), int64(1000), uint16(2000), int64(0), int64(900), int64(1), int64(1), int64(999))
	f.Fuzz(func(t *testing.T, seed uint64, work int64, n uint16, grace, spread, timeout, mercy, at int64) {
		random := rand.New(rand.NewPCG(seed, 1))
		rules := []policy.Rule{
			{Grace: time.Duration(grace), Spread: time.Duration(spread), Timeout: time.Duration(timeout), Mercy: time.Duration(mercy)},
			{Spread: time.Duration(spread), Reconnect: policy.Window{Max: 30 * sec}, Order: policy.Order(seed % 4)},
			{Grace: time.Duration(random.Int64N(int64(30 * sec))), Timeout: time.Duration(random.Int64N(int64(9 * sec)))},
		}
		for i := range rules { // in half of the cases all have one priority
			rules[i].Priority = int(seed>>(4*i)) % 3 * int(seed>>12&1)
		}
		all := make([]policy.Subject, n%4096)
		for i := range all {
			// Mostly the first rule's streams, so that there are enough of them to measure a rate.
			all[i] = policy.Subject{Rule: &rules[max(0, random.IntN(6)-3)], Kind: policy.Kind(max(0, 2-random.IntN(8)/3))}
			if random.IntN(2) == 0 {
				all[i].Kind = policy.Infinite
			}
			if r := all[i].Rule; r.Grace != policy.ToTheEnd || r.Timeout > 0 { // else those that answer have a grid of their own
				all[i].Answers = seed&1 == 1 && random.IntN(3) == 0
			}
			all[i].Age, all[i].Idle = time.Duration(random.Int64N(100)), time.Duration(random.Int64())
		}
		late := make([]policy.Subject, 10)
		for i := range late {
			late[i] = policy.Subject{Rule: &rules[i%3], Kind: policy.Kind(i % 4 % 3), Answers: i%2 == 1}
		}
		whole := time.Duration(work)
		checkPlan(t, whole, seed, all, late, time.Duration(at))
	})
}

// checkPlan plans twice with equal seeds and checks all that a Plan promises.
func checkPlan(t *testing.T, work time.Duration, seed uint64, all, late []policy.Subject, at time.Duration) {
	t.Helper()
	p, twin := policy.NewPlan(work, seed), policy.NewPlan(work, seed)
	moments := p.Begin(all)
	require.Equal(t, moments, twin.Begin(all), "equal seeds and calls give equal plans")
	// A Plan clamps the work to 36 years.
	work = min(max(0, work), math.MaxInt64/8)

	byRule := map[policy.Rule][]time.Duration{}
	wait := longestWaits(all)
	for i, m := range moments {
		s := all[i]
		checkMoments(t, m, s, work)
		if s.Kind == policy.Infinite {
			byRule[*s.Rule] = append(byRule[*s.Rule], m.Farewell)
		} else if s.Rule.Grace != policy.ToTheEnd {
			require.Zero(t, m.Farewell, "finite responses hear of it at once")
		}
		checkSpecifiedTimes(t, m, s, work, wait[s.Rule.Priority])
	}
	checkOrder(t, all, moments, work)
	for r, of := range byRule {
		slices.Sort(of)
		checkSpread(t, r, of)
	}
	for i, s := range late {
		when := at + time.Duration(i)*ms
		m := p.Late(s, when)
		require.Equal(t, m, twin.Late(s, when))
		checkMoments(t, m, s, work)
		if when = max(0, when); s.Kind != policy.Infinite {
			require.Equal(t, m.Cancel > min(when, work), p.Admits(*s.Rule, when), "%v, at %v", m, when)
		}
		if s.Rule.Grace != policy.ToTheEnd {
			require.Equal(t, min(max(0, when), work), m.Farewell, "at once")
		}
	}
}

func checkMoments(t *testing.T, m policy.Moments, s policy.Subject, work time.Duration) {
	t.Helper()
	if !(0 <= m.Farewell && m.Farewell <= m.Cancel && m.Cancel <= m.Cut && m.Cut <= work) {
		t.Fatalf("%+v is not in order or not inside %v, for %v under %+v", m, work, s.Kind, *s.Rule)
	}
	w := s.Rule.Reconnect
	if w == (policy.Window{}) {
		w = policy.Window{Min: 1 * sec, Max: 5 * sec}
	}
	if m.Retry < w.Min || m.Retry > w.Max {
		t.Fatalf("slot %v is not in %v", m.Retry, w)
	}
}

// checkSpecifiedTimes checks that the times which a fitting rule specifies are kept exactly.
func checkSpecifiedTimes(t *testing.T, m policy.Moments, s policy.Subject, work, wait time.Duration) {
	t.Helper()
	r := *s.Rule
	r.Kind = max(policy.Finite, s.Kind)
	b := policy.Budget{Total: work + 1, Reserve: 1}
	if r.Kind == policy.Infinite && r.Grace != policy.ToTheEnd {
		r.Grace = max(r.Grace, wait)
	}
	if r.Validate() != nil || b.Fit("/", r) != nil || r.Grace == policy.ToTheEnd && wait > 0 {
		return
	}
	require.Equal(t, work, b.WithDefaults().Total-b.WithDefaults().Reserve)
	if r.Mercy > 0 {
		require.Equal(t, r.Mercy, m.Cut-m.Cancel, "mercy")
	} else {
		require.LessOrEqual(t, m.Cut-m.Cancel, sec)
	}
	switch {
	case r.Grace == policy.ToTheEnd && r.Spread <= 0:
		require.Equal(t, work, m.Cut, "to the end")
	case r.Grace == policy.ToTheEnd:
		require.LessOrEqual(t, work-m.Cut, r.Spread, "to the end, but for the spread")
	case r.Kind == policy.Finite && r.Grace > 0:
		require.Equal(t, r.Grace, m.Cancel, "grace")
	case r.Kind == policy.Finite:
		require.Equal(t, work, m.Cut, "as long as the budget lasts")
	default:
		// Streams of a higher priority may be few, so that the wait is shorter than it could be.
		require.True(t, s.Rule.Grace <= m.Farewell && m.Farewell <= r.Grace+r.Spread, "%v is not in the window of %+v", m.Farewell, r)
		if r.Timeout > 0 {
			require.Equal(t, r.Timeout, m.Cancel-m.Farewell, "timeout")
		} else {
			usual := 250 * ms
			if s.Answers {
				usual = 3 * sec
			}
			require.LessOrEqual(t, m.Cancel-m.Farewell, usual)
		}
	}
}

// checkSpread checks the farewells of one rule, sorted.
func checkSpread(t *testing.T, r policy.Rule, at []time.Duration) {
	t.Helper()
	n := len(at)
	took := at[n-1] - at[0]
	require.LessOrEqual(t, took, time.Duration(n)*5*ms, "never under 200 a second")
	if r.Spread <= 0 {
		require.Zero(t, took, "all at once")
		return
	}
	if n >= 1000 && took > 0 {
		mean := float64(n) * float64(100*ms) / float64(took)
		require.LessOrEqual(t, float64(worst(at, 100*ms)), 2*mean, "of %d over %v", n, took)
	}
}

// longestWaits returns for each priority the longest time that its streams may have to wait.
func longestWaits(all []policy.Subject) map[int]time.Duration {
	rules := map[policy.Rule]bool{}
	priorities := []int{}
	for _, s := range all {
		rules[*s.Rule] = true
		priorities = append(priorities, s.Rule.Priority)
	}
	slices.Sort(priorities)
	wait, next, worst := map[int]time.Duration{}, time.Duration(0), time.Hour*24*365*30
	for _, p := range slices.Backward(slices.Compact(priorities)) {
		wait[p] = next
		for r := range rules {
			if r.Priority == p && r.Grace != policy.ToTheEnd {
				begin := max(wait[p], min(r.Grace, worst))
				next = min(worst, max(next, begin+max(1, min(r.Spread, worst))))
			}
		}
	}
	return wait
}

// checkOrder checks that farewells are in the order of the rules' priorities, and within a rule in
// its Order.
func checkOrder(t *testing.T, all []policy.Subject, moments []policy.Moments, work time.Duration) {
	t.Helper()
	first, last := map[int]time.Duration{}, map[int]time.Duration{}
	groups := map[policy.Rule][]int{}
	for i, m := range moments {
		s := all[i]
		if s.Kind != policy.Infinite || s.Rule.Grace == policy.ToTheEnd {
			continue
		}
		p := s.Rule.Priority
		if at, ok := first[p]; !ok || m.Farewell < at {
			first[p] = m.Farewell
		}
		last[p] = max(last[p], m.Farewell)
		groups[*s.Rule] = append(groups[*s.Rule], i)
	}
	for higher, over := range last {
		for lower, begin := range first {
			if higher > lower && begin < work {
				require.Less(t, over, begin, "priority %d before %d", higher, lower)
			}
		}
	}
	for r, of := range groups {
		if r.Order != policy.OldestFirst {
			continue
		}
		slices.SortStableFunc(of, func(a, b int) int { return int(all[b].Age - all[a].Age) })
		for k := 1; k < len(of); k++ {
			require.LessOrEqual(t, moments[of[k-1]].Farewell, moments[of[k]].Farewell, "oldest first")
		}
	}
}
