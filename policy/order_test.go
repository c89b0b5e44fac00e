package policy_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

func TestOrder(t *testing.T) {
	const n = 1000
	random := rand.New(rand.NewPCG(1, 2))
	for _, tt := range []struct {
		order policy.Order
		key   func(policy.Subject) time.Duration // never falls
	}{
		{policy.OldestFirst, func(s policy.Subject) time.Duration { return -s.Age }},
		{policy.YoungestFirst, func(s policy.Subject) time.Duration { return s.Age }},
		{policy.IdleFirst, func(s policy.Subject) time.Duration { return -s.Idle }},
	} {
		all := many(n, policy.Rule{Spread: 5 * sec, Order: tt.order}, policy.Infinite)
		for i := range all {
			// Few different values, so that some are equal.
			all[i].Age, all[i].Idle = time.Duration(random.IntN(300))*sec, time.Duration(random.IntN(300))*ms
		}
		moments := policy.NewPlan(20*sec, 1).Begin(all)
		sorted := byFarewell(moments)
		for k := 1; k < n; k++ {
			before, after := tt.key(all[sorted[k-1]]), tt.key(all[sorted[k]])
			require.LessOrEqual(t, before, after, "%v: %d", tt.order, k)
			if before == after {
				require.Less(t, sorted[k-1], sorted[k], "%v: equal streams keep the order of all", tt.order)
			}
		}
		at := farewells(moments)
		assert.LessOrEqual(t, worst(at, 100*ms), 21, "%v is evenly spread", tt.order)
		assert.LessOrEqual(t, peak(retries(moments), policy.Window{Min: 1 * sec, Max: 5 * sec}, 20), 1.2)
	}
}

func TestPriority(t *testing.T) {
	dashboards := policy.Rule{Priority: 2, Spread: 4 * sec}
	news := policy.Rule{Priority: 2, Grace: sec, Spread: 2 * sec, Farewell: policy.Farewell{Code: 4000}}
	chats := policy.Rule{Grace: 5 * sec, Spread: sec}
	pages := policy.Rule{Spread: 2 * sec, Farewell: policy.Farewell{Code: 4001}}
	payments := policy.Rule{Priority: -1, Spread: 3 * sec, Timeout: 2 * sec, Mercy: sec}
	tunnels := policy.LeaveAlone()
	tunnels.Priority = 3

	var all []policy.Subject
	for range 2_000 {
		for _, r := range []policy.Rule{payments, pages, chats, news, dashboards, tunnels} {
			all = append(all, policy.Subject{Rule: &r, Kind: policy.Infinite})
		}
	}
	byRule := map[policy.Rule][]time.Duration{}
	for i, m := range policy.NewPlan(20*sec, 1).Begin(all) {
		byRule[*all[i].Rule] = append(byRule[*all[i].Rule], m.Farewell)
		if *all[i].Rule == payments {
			require.Equal(t, 2*sec, m.Cancel-m.Farewell)
			require.Equal(t, 1*sec, m.Cut-m.Cancel)
		}
	}
	for name, tt := range map[string]struct {
		rule     policy.Rule
		from, to time.Duration
	}{
		"dashboards, first of all":          {dashboards, 0, 4 * sec},
		"news, with them":                   {news, 1 * sec, 3 * sec},
		"pages, after both":                 {pages, 4 * sec, 6 * sec},
		"chats, which had the grace anyway": {chats, 5 * sec, 6 * sec},
		"payments, last":                    {payments, 6 * sec, 9 * sec},
		"tunnels, who want nothing of it":   {tunnels, 20*sec - 3, 20 * sec},
	} {
		at := byRule[tt.rule]
		slices.Sort(at)
		assert.GreaterOrEqual(t, at[0], tt.from, name)
		assert.LessOrEqual(t, at[len(at)-1], tt.to, name)
		assert.LessOrEqual(t, at[0]-tt.from, 10*ms, name)
		assert.LessOrEqual(t, tt.to-at[len(at)-1], 10*ms, name)
	}

	// Few streams take little of their Spread, and lower priorities wait no longer.
	few := policy.NewPlan(20*sec, 1).Begin([]policy.Subject{
		{Rule: &payments, Kind: policy.Infinite}, {Rule: &dashboards, Kind: policy.Infinite}, {Rule: &tunnels, Kind: policy.Infinite},
	})
	assert.Less(t, few[1].Farewell, few[0].Farewell)
	assert.LessOrEqual(t, few[0].Farewell, 10*ms)

	// Without a Spread all of one priority get their farewells at once, before the next.
	a, b := policy.Rule{Priority: 1}, policy.Rule{}
	two := policy.NewPlan(20*sec, 1).Begin([]policy.Subject{{Rule: &b, Kind: policy.Infinite}, {Rule: &a, Kind: policy.Infinite}})
	assert.Less(t, two[1].Farewell, two[0].Farewell)
	assert.LessOrEqual(t, two[0].Farewell, ms)
}
