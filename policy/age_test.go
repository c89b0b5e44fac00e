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
		answers        bool
		timeout, mercy time.Duration
	}{
		"defaults":        {policy.Rule{MaxAge: time.Minute}, false, 250 * ms, sec},
		"default answers": {policy.Rule{MaxAge: time.Minute}, true, 3 * sec, sec},
		"answers":         {policy.Rule{MaxAge: time.Minute, Timeout: 2 * sec}, true, 2 * sec, sec},
		"specified":       {policy.Rule{MaxAge: time.Minute, Timeout: policy.AtOnce, Mercy: 7 * sec}, false, policy.AtOnce, 7 * sec},
		"not the drain's": {policy.Rule{MaxAge: time.Minute, Grace: policy.ToTheEnd, Spread: time.Hour}, false, 250 * ms, sec},
		"longest":         {policy.Rule{MaxAge: math.MaxInt64 - 1}, true, 3 * sec, sec},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, quick.Check(func(k uint64) bool {
				m, ok := tt.rule.AgeMoments(k, tt.answers)
				age := min(tt.rule.MaxAge, math.MaxInt64/8)
				return ok && age-age/5 <= m.Farewell && m.Farewell <= age &&
					m.Cancel == m.Farewell+tt.timeout && m.Cut == m.Cancel+tt.mercy && m.Retry == tt.rule.Reconnect.Slot(k)
			}, nil))
		})
	}
	for _, never := range []time.Duration{0, -1, policy.ToTheEnd} {
		_, ok := policy.Rule{MaxAge: never}.AgeMoments(1, false)
		assert.False(t, ok, "MaxAge %d", never)
	}
}

// Streams that all began together end at an even rate, and their clients come back at one.
func TestAgeMomentsAreFlat(t *testing.T) {
	const n = 10_000
	r := policy.Rule{MaxAge: 100 * sec, Reconnect: policy.Window{Min: 1 * sec, Max: 21 * sec}}
	for _, first := range []uint64{0, 1 << 40, math.MaxUint64 - n/2} {
		farewell, back := make([]time.Duration, n), make([]time.Duration, n)
		for i := range farewell {
			m, _ := r.AgeMoments(first+uint64(i), i%2 == 0)
			farewell[i], back[i] = m.Farewell, m.Farewell+m.Retry
		}
		assert.LessOrEqual(t, peak(farewell, policy.Window{Min: 80 * sec, Max: 100*sec + 1}, 100), 1.2)
		slices.Sort(back)
		assert.LessOrEqual(t, worst(back, 400*ms), 2*n*4/200, "twice the mean of those that come back within 20 s")
	}
}
