package policy_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

func TestOrderText(t *testing.T) {
	for order, word := range map[policy.Order]string{
		policy.Random: "random", policy.OldestFirst: "oldest-first", policy.YoungestFirst: "youngest-first", policy.IdleFirst: "idle-first",
	} {
		assert.Equal(t, word, order.String())
		text, err := json.Marshal(order)
		require.NoError(t, err)
		assert.Equal(t, `"`+word+`"`, string(text))
		var back policy.Order
		require.NoError(t, json.Unmarshal(text, &back))
		assert.Equal(t, order, back)
	}
	assert.Equal(t, "Order(4)", policy.Order(4).String())
	_, err := policy.Order(4).MarshalText()
	require.EqualError(t, err, "policy: order 4 is unknown; use Random, OldestFirst, YoungestFirst or IdleFirst")
	order := policy.IdleFirst
	require.ErrorContains(t, order.UnmarshalText([]byte("oldest")), `order "oldest" is unknown`)
	assert.Equal(t, policy.IdleFirst, order)
}

// byFarewell returns the indices of all in the order in which they are told.
func byFarewell(moments []policy.Moments) []int {
	at := make([]int, len(moments))
	for i := range at {
		at[i] = i
	}
	slices.SortFunc(at, func(a, b int) int { return int(moments[a].Farewell - moments[b].Farewell) })
	return at
}

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
			// Few different values, so that there are equals.
			all[i].Age, all[i].Idle = time.Duration(random.IntN(300))*sec, time.Duration(random.IntN(300))*ms
		}
		moments := policy.NewPlan(20*sec, 1).Begin(all)
		told := byFarewell(moments)
		for k := 1; k < n; k++ {
			before, after := tt.key(all[told[k-1]]), tt.key(all[told[k]])
			require.LessOrEqual(t, before, after, "%v: %d", tt.order, k)
			if before == after {
				require.Less(t, told[k-1], told[k], "%v: equals are told in the order of all", tt.order)
			}
		}
		at := farewells(moments)
		assert.LessOrEqual(t, worst(at, 100*ms), 21, "%v is on pace", tt.order)
		assert.LessOrEqual(t, peak(retries(moments), policy.Window{Min: 1 * sec, Max: 5 * sec}, 20), 1.2)
	}
}

func retries(of []policy.Moments) []time.Duration {
	all := make([]time.Duration, len(of))
	for i, m := range of {
		all[i] = m.Retry
	}
	return all
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
	told := map[policy.Rule][]time.Duration{}
	for i, m := range policy.NewPlan(20*sec, 1).Begin(all) {
		told[*all[i].Rule] = append(told[*all[i].Rule], m.Farewell)
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
		at := told[tt.rule]
		slices.Sort(at)
		assert.GreaterOrEqual(t, at[0], tt.from, name)
		assert.LessOrEqual(t, at[len(at)-1], tt.to, name)
		assert.LessOrEqual(t, at[0]-tt.from, 10*ms, name)
		assert.LessOrEqual(t, tt.to-at[len(at)-1], 10*ms, name)
	}

	// Few are soon done, and nobody waits longer than that.
	few := policy.NewPlan(20*sec, 1).Begin([]policy.Subject{
		{Rule: &payments, Kind: policy.Infinite}, {Rule: &dashboards, Kind: policy.Infinite}, {Rule: &tunnels, Kind: policy.Infinite},
	})
	assert.Less(t, few[1].Farewell, few[0].Farewell)
	assert.LessOrEqual(t, few[0].Farewell, 10*ms)

	// Without a Spread all of one priority are told at once, and before the next.
	a, b := policy.Rule{Priority: 1}, policy.Rule{}
	two := policy.NewPlan(20*sec, 1).Begin([]policy.Subject{{Rule: &b, Kind: policy.Infinite}, {Rule: &a, Kind: policy.Infinite}})
	assert.Less(t, two[1].Farewell, two[0].Farewell)
	assert.LessOrEqual(t, two[0].Farewell, ms)
}

func TestCheckCountsPriorities(t *testing.T) {
	table := func(rules ...policy.Rule) *policy.Mux {
		var m policy.Mux
		for i, r := range rules {
			m.Handle("/"+string(rune('a'+i)), r)
		}
		return &m
	}
	for name, tt := range map[string]struct {
		mux  *policy.Mux
		want string
	}{
		"side by side": {table(policy.Rule{Spread: 15 * sec}, policy.Rule{Spread: 15 * sec}), ""},
		"in turn": {table(policy.Rule{Spread: 15 * sec}, policy.Rule{Spread: 15 * sec, Priority: 1}),
			`policy: route "/a" needs 30s (first those of higher priority 15s + spread 15s) but the budget leaves 23s of 25s (announce 0s, reserve 2s): shorten the rule by 7s or raise Budget.Total to 32s`},
		"in three turns": {table(policy.Rule{Spread: 9 * sec, Priority: -1, Timeout: sec}, policy.Rule{Spread: 5 * sec, Priority: 1}, policy.Rule{Grace: 7 * sec, Spread: 7 * sec}),
			`policy: route "/a" needs 24s (first those of higher priority 14s + spread 9s + timeout 1s)`},
		"a grace that they fit into": {table(policy.Rule{Grace: 10 * sec, Spread: 13 * sec}, policy.Rule{Spread: 10 * sec, Priority: 1}), ""},
		"finite ones":                {table(policy.Rule{Spread: 20 * sec}, policy.Rule{Kind: policy.Finite, Grace: 20 * sec, Priority: 1}), ""},
		"left alone":                 {table(policy.Rule{Spread: 20 * sec}, policy.Rule{Grace: policy.ToTheEnd, Spread: 5 * sec, Priority: 1}), ""},
		"waits though left alone": {table(policy.Rule{Spread: 20 * sec, Priority: 1}, policy.Rule{Grace: policy.ToTheEnd, Timeout: 4 * sec}),
			`policy: route "/b" needs 24s (first those of higher priority 20s + timeout 4s)`},
	} {
		t.Run(name, func(t *testing.T) {
			err := policy.Check(tt.mux, policy.Budget{})
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.want)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
	m := table(policy.Rule{Spread: 20 * sec, Priority: 1})
	m.Default = policy.Rule{Spread: 10 * sec}
	require.ErrorContains(t, policy.Check(m, policy.Budget{}), "the rule for every route needs 30s (first those of higher priority 20s + spread 10s)")
}

// leads returns for each priority there is how long its streams may have to wait at worst.
func leads(all []policy.Subject) map[int]time.Duration {
	rules := map[policy.Rule]bool{}
	priorities := []int{}
	for _, s := range all {
		rules[*s.Rule] = true
		priorities = append(priorities, s.Rule.Priority)
	}
	slices.Sort(priorities)
	lead, next, worst := map[int]time.Duration{}, time.Duration(0), time.Hour*24*365*30
	for _, p := range slices.Backward(slices.Compact(priorities)) {
		lead[p] = next
		for r := range rules {
			if r.Priority == p && r.Grace != policy.ToTheEnd {
				begin := max(lead[p], min(r.Grace, worst))
				next = min(worst, max(next, begin+max(1, min(r.Spread, worst))))
			}
		}
	}
	return lead
}

// inOrder checks that streams are told in the order of their rules' priorities, and of their own.
func inOrder(t *testing.T, all []policy.Subject, moments []policy.Moments, work time.Duration) {
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
