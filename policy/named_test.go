package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

var named = map[string]policy.Rule{
	"let-finish":     policy.LetFinish(),
	"tell-come-back": policy.TellComeBack(),
	"tell-stay-away": policy.TellStayAway(),
	"cut-at-once":    policy.CutAtOnce(),
	"leave-alone":    policy.LeaveAlone(),
}

// The moments that each named rule gives a single response, also over a base that specifies other
// times.
func TestNamedRuleMoments(t *testing.T) {
	const work = 20 * sec
	contrary := policy.Rule{Grace: 7 * sec, Spread: 7 * sec, Timeout: 2 * sec, Mercy: 2 * sec, Farewell: policy.Farewell{Code: 4000}}
	for name, tt := range map[string]struct {
		rule             policy.Rule
		finite, infinite policy.Moments // but for Retry
		code             int
	}{
		"let-finish":     {policy.LetFinish(), policy.Moments{0, 19 * sec, 20 * sec, 0}, policy.Moments{0, 250 * ms, 1250 * ms, 0}, 1012},
		"tell-come-back": {policy.TellComeBack(), policy.Moments{0, 19 * sec, 20 * sec, 0}, policy.Moments{0, 250 * ms, 1250 * ms, 0}, 1012},
		"tell-stay-away": {policy.TellStayAway(), policy.Moments{0, 19 * sec, 20 * sec, 0}, policy.Moments{0, 250 * ms, 1250 * ms, 0}, 1000},
		"cut-at-once":    {policy.CutAtOnce(), policy.Moments{0, 1, 2, 0}, policy.Moments{1, 2, 3, 0}, 1012},
		"leave-alone":    {policy.LeaveAlone(), policy.Moments{work - 1, work - 1, work, 0}, policy.Moments{work - 3, work - 2, work - 1, 0}, 1012},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, tt.rule.Validate())
			for kind, want := range map[policy.Kind]policy.Moments{policy.Finite: tt.finite, policy.Infinite: tt.infinite} {
				got := policy.NewPlan(work, 1).Begin(many(1, tt.rule, kind))[0]
				// The jitter of a single stream is up to half of the widest gap.
				assert.InDelta(t, want.Farewell, got.Farewell, float64(2500*time.Microsecond), "%v: %+v", kind, got)
				assert.Equal(t, want.Cancel-want.Farewell, got.Cancel-got.Farewell, "%v: %+v", kind, got)
				assert.Equal(t, want.Cut-want.Cancel, got.Cut-got.Cancel, "%v: %+v", kind, got)
			}
			assert.Equal(t, tt.code, tt.rule.Farewell.Expand(0).Code)
		})
	}
	for _, name := range []string{"cut-at-once", "leave-alone"} {
		for _, kind := range []policy.Kind{policy.Finite, policy.Infinite} {
			alone := policy.NewPlan(work, 1).Begin(many(1, named[name], kind))
			over := policy.NewPlan(work, 1).Begin(many(1, named[name].Over(contrary), kind))
			alone[0].Retry, over[0].Retry = 0, 0
			assert.Equal(t, alone, over, "%s stands above what lies under it, for %v", name, kind)
		}
	}
	assert.Equal(t, policy.ComeBack(), policy.TellComeBack().Over(contrary).Farewell)
	assert.Equal(t, policy.StayAway(), policy.TellStayAway().Over(contrary).Farewell)
}

func TestNamedRulesFit(t *testing.T) {
	for name, r := range named {
		for _, total := range []time.Duration{0, 8 * sec} {
			assert.NoError(t, policy.Check(r, policy.Budget{Total: total}), "%s in %v", name, total)
		}
	}
}
