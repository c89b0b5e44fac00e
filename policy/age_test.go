package policy_test

import (
	"math"
	"slices"
	"testing"
	"testing/quick"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

func TestAgeMoments(t *testing.T) {
	for name, tt := range map[string]struct {
		rule           policy.Rule
		timeout, mercy time.Duration
	}{
		"the usual end":   {policy.Rule{MaxAge: time.Minute}, 3 * sec, sec},
		"its own":         {policy.Rule{MaxAge: time.Minute, Timeout: policy.AtOnce, Mercy: 7 * sec}, policy.AtOnce, 7 * sec},
		"not the drain's": {policy.Rule{MaxAge: time.Minute, Grace: policy.ToTheEnd, Spread: time.Hour}, 3 * sec, sec},
		"for ever":        {policy.Rule{MaxAge: math.MaxInt64 - 1}, 3 * sec, sec},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, quick.Check(func(k uint64) bool {
				m, ok := tt.rule.AgeMoments(k)
				age := min(tt.rule.MaxAge, math.MaxInt64/8)
				return ok && age-age/5 <= m.Farewell && m.Farewell <= age &&
					m.Cancel == m.Farewell+tt.timeout && m.Cut == m.Cancel+tt.mercy && m.Retry == tt.rule.Reconnect.Slot(k)
			}, nil))
		})
	}
	for _, never := range []time.Duration{0, -1, policy.ToTheEnd} {
		_, ok := policy.Rule{MaxAge: never}.AgeMoments(1)
		assert.False(t, ok, "MaxAge %d", never)
	}
}

// Streams that all began when the server did end at an even pace, and so do they come back.
func TestAgesAreFlat(t *testing.T) {
	const n = 10_000
	r := policy.Rule{MaxAge: 100 * sec, Reconnect: policy.Window{Min: 1 * sec, Max: 21 * sec}}
	for _, first := range []uint64{0, 1 << 40, math.MaxUint64 - n/2} {
		told, back := make([]time.Duration, n), make([]time.Duration, n)
		for i := range told {
			m, _ := r.AgeMoments(first + uint64(i))
			told[i], back[i] = m.Farewell, m.Farewell+m.Retry
		}
		assert.LessOrEqual(t, peak(told, policy.Window{Min: 80 * sec, Max: 100*sec + 1}, 100), 1.2)
		slices.Sort(back)
		assert.LessOrEqual(t, worst(back, 400*ms), 2*n*4/200, "twice the mean of those that come back within 20 s")
	}
}

func TestPick(t *testing.T) {
	all := many(100, policy.Rule{}, policy.Infinite)
	for i := range all {
		all[i].Age = time.Duration(i*37%100) * sec
	}
	p := policy.NewPlan(0, 1)
	oldest := p.Pick(all, policy.OldestFirst, 10)
	require.Len(t, oldest, 10)
	for k, i := range oldest {
		assert.Equal(t, time.Duration(99-k)*sec, all[i].Age)
	}

	random := p.Pick(all, policy.Random, 30)
	assert.Len(t, random, 30)
	assert.NotEqual(t, random, p.Pick(all, policy.Random, 30))
	assert.Equal(t, random, func() []int32 {
		again := policy.NewPlan(0, 1)
		return again.Pick(all, policy.Random, 30)
	}(), "equal seeds give equal picks")
	slices.Sort(random)
	assert.Len(t, slices.Compact(random), 30, "nobody twice")

	assert.Len(t, p.Pick(all, policy.Random, 1000), 100)
	assert.Empty(t, p.Pick(all, policy.Random, -1))
	assert.Empty(t, p.Pick(nil, policy.IdleFirst, 1))
}
