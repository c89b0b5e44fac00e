package policy_test

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

func TestBeginMoments(t *testing.T) {
	const work = 20 * sec
	for name, tt := range map[string]struct {
		work time.Duration
		kind policy.Kind
		rule policy.Rule
		want policy.Moments // but for Retry
	}{
		"finite":           {work, policy.Finite, policy.Rule{}, policy.Moments{0, 19 * sec, 20 * sec, 0}},
		"auto is finite":   {work, policy.Auto, policy.Rule{}, policy.Moments{0, 19 * sec, 20 * sec, 0}},
		"finite, grace":    {work, policy.Finite, policy.Rule{Grace: 5 * sec, Mercy: 2 * sec}, policy.Moments{0, 5 * sec, 7 * sec, 0}},
		"finite, mercy":    {work, policy.Finite, policy.Rule{Mercy: 5 * sec}, policy.Moments{0, 15 * sec, 20 * sec, 0}},
		"finite, no mercy": {work, policy.Finite, policy.Rule{Mercy: policy.AtOnce}, policy.Moments{0, 20*sec - 1, 20 * sec, 0}},
		"finite ignores a stream's": {work, policy.Finite, policy.Rule{Grace: 19 * sec, Spread: 19 * sec, Timeout: 19 * sec},
			policy.Moments{0, 19 * sec, 20 * sec, 0}},
		"finite, mercy yields":         {work, policy.Finite, policy.Rule{Grace: 19500 * ms}, policy.Moments{0, 19500 * ms, 20 * sec, 0}},
		"finite, in a short work":      {2 * sec, policy.Finite, policy.Rule{}, policy.Moments{0, 1500 * ms, 2 * sec, 0}},
		"finite, mercy over all":       {2 * sec, policy.Finite, policy.Rule{Mercy: 5 * sec}, policy.Moments{0, 1500 * ms, 2 * sec, 0}},
		"finite, scaled down":          {2 * sec, policy.Finite, policy.Rule{Grace: 3 * sec, Mercy: 1 * sec}, policy.Moments{0, 1500 * ms, 2 * sec, 0}},
		"stream":                       {work, policy.Infinite, policy.Rule{}, policy.Moments{0, 250 * ms, 1250 * ms, 0}},
		"stream, grace":                {work, policy.Infinite, policy.Rule{Grace: 5 * sec, Timeout: 2 * sec, Mercy: 3 * sec}, policy.Moments{5 * sec, 7 * sec, 10 * sec, 0}},
		"stream, at once":              {work, policy.Infinite, policy.Rule{Timeout: policy.AtOnce, Mercy: policy.AtOnce}, policy.Moments{0, 1, 2, 0}},
		"stream, finite rule":          {work, policy.Infinite, policy.Rule{Kind: policy.Finite, Timeout: 2 * sec}, policy.Moments{0, 2 * sec, 3 * sec, 0}},
		"stream, defaults yield":       {work, policy.Infinite, policy.Rule{Grace: 19 * sec}, policy.Moments{19 * sec, 19200 * ms, 20 * sec, 0}},
		"stream, mercy yields":         {work, policy.Infinite, policy.Rule{Grace: 18 * sec, Timeout: 1500 * ms}, policy.Moments{18 * sec, 19500 * ms, 20 * sec, 0}},
		"stream, timeout yields":       {work, policy.Infinite, policy.Rule{Grace: 18 * sec, Mercy: 1800 * ms}, policy.Moments{18 * sec, 18200 * ms, 20 * sec, 0}},
		"stream, fits to the end":      {work, policy.Infinite, policy.Rule{Grace: 20 * sec}, policy.Moments{20 * sec, 20 * sec, 20 * sec, 0}},
		"stream, scaled down":          {2 * sec, policy.Infinite, policy.Rule{Grace: 12 * sec, Timeout: 6 * sec, Mercy: 2 * sec}, policy.Moments{1200 * ms, 1800 * ms, 2 * sec, 0}},
		"stream, scaled-down defaults": {2 * sec, policy.Infinite, policy.Rule{Grace: 38750 * ms}, policy.Moments{1937500 * time.Microsecond, 1950 * ms, 2 * sec, 0}},
		"no work":                      {0, policy.Infinite, policy.Rule{Grace: sec}, policy.Moments{}},
		"less than no work":            {-sec, policy.Finite, policy.Rule{}, policy.Moments{}},
		"longest rule": {work, policy.Infinite, policy.Rule{Grace: math.MaxInt64 - 1, Timeout: policy.AtOnce, Mercy: policy.AtOnce},
			policy.Moments{20*sec - 1, 20*sec - 1, 20 * sec, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			got := policy.NewPlan(tt.work, 1).Begin(many(1, tt.rule, tt.kind))
			require.Len(t, got, 1)
			got[0].Retry = 0
			assert.Equal(t, tt.want, got[0])
		})
	}
}

func TestBeginWithoutSubjectsOrRules(t *testing.T) {
	assert.Empty(t, policy.NewPlan(sec, 1).Begin(nil))
	got := policy.NewPlan(20*sec, 1).Begin([]policy.Subject{{Kind: policy.Infinite}, {Rule: &policy.Rule{}, Kind: policy.Infinite}})
	assert.Equal(t, got[0].Cut, got[1].Cut, "no rule is the zero rule")
	assert.NotEqual(t, got[0].Retry, got[1].Retry)
}

func TestBeginSpread(t *testing.T) {
	for name, tt := range map[string]struct {
		n      int
		spread time.Duration
		over   time.Duration // what the farewells take
		worst  int           // in any 100 ms
	}{
		"a herd":          {10_000, 20 * sec, 20 * sec, 51},
		"a big herd":      {100_000, 10 * sec, 10 * sec, 1001},
		"a crowd":         {1_000, 20 * sec, 5 * sec, 21},
		"a few":           {10, 20 * sec, 50 * ms, 10},
		"one":             {1, 20 * sec, 5 * ms, 1},
		"all at once":     {1_000, 0, 0, 1000},
		"a short window":  {1_000, 50 * ms, 50 * ms, 1000},
		"under a nano":    {1_000, 7, 7, 1000},
		"exactly the 200": {4_000, 20 * sec, 20 * sec, 21},
	} {
		t.Run(name, func(t *testing.T) {
			r := policy.Rule{Grace: 3 * sec, Spread: tt.spread}
			at := farewells(policy.NewPlan(30*sec, 7).Begin(many(tt.n, r, policy.Infinite)))
			gap := tt.over / time.Duration(tt.n)
			assert.GreaterOrEqual(t, at[0], r.Grace)
			assert.LessOrEqual(t, at[0], r.Grace+gap/2)
			assert.LessOrEqual(t, at[len(at)-1], r.Grace+tt.over)
			assert.GreaterOrEqual(t, at[len(at)-1], r.Grace+tt.over-gap-1, "no faster than it must")
			assert.LessOrEqual(t, worst(at, 100*ms), tt.worst)
			for i := 1; i < len(at) && gap > 0; i++ {
				require.InDelta(t, gap, at[i]-at[i-1], float64(gap/2)+2, "step %d", i)
			}
		})
	}
}

func TestBeginJitterAndRandomOrder(t *testing.T) {
	r := policy.Rule{Spread: 10 * sec}
	got := policy.NewPlan(20*sec, 3).Begin(many(2_000, r, policy.Infinite))
	ups := 0
	for i := 1; i < len(got); i++ {
		if got[i].Farewell > got[i-1].Farewell {
			ups++
		}
	}
	assert.InDelta(t, 1_000, ups, 100, "a shuffled run rises half of the time")

	at, late := farewells(got), 0
	for i, a := range at {
		jitter := a - time.Duration(i)*5*ms
		require.True(t, 0 <= jitter && jitter < 2500*time.Microsecond, "jitter %v", jitter)
		if jitter > 1250*time.Microsecond {
			late++
		}
	}
	assert.InDelta(t, 1_000, late, 100, "jitter is spread over its half gap")
}

// Streams of equal rules are spread together, whatever the rules' addresses, and those of different
// rules apart.
func TestBeginGroupsEqualRules(t *testing.T) {
	a, b := policy.Rule{Spread: 10 * sec}, policy.Rule{Spread: 10 * sec, Mercy: sec}
	var all []policy.Subject
	for range 2_000 {
		ownA := a
		all = append(all, policy.Subject{Rule: &ownA, Kind: policy.Infinite}, policy.Subject{Rule: &b, Kind: policy.Infinite},
			policy.Subject{Rule: &a, Kind: policy.Finite})
	}
	got := policy.NewPlan(20*sec, 3).Begin(all)
	var ofA, ofB []policy.Moments
	for i, m := range got {
		switch i % 3 {
		case 0:
			ofA = append(ofA, m)
		case 1:
			ofB = append(ofB, m)
		case 2:
			require.Equal(t, policy.Moments{0, 19 * sec, 20 * sec, m.Retry}, m)
		}
	}
	for _, of := range [][]policy.Moments{ofA, ofB} {
		at := farewells(of)
		assert.LessOrEqual(t, worst(at, 100*ms), 21)
		assert.InDelta(t, 10*sec, at[len(at)-1], float64(10*ms))
	}
}

// Rules that differ only in what a drain's moments don't depend on are spread together.
func TestBeginIgnoresWhatIsNoTime(t *testing.T) {
	var all []policy.Subject
	for i := range 2_000 {
		r := policy.Rule{Kind: policy.Kind(i % 3), Spread: 10 * sec, MaxAge: time.Hour + time.Duration(i), Format: policy.Format(i % 5), Ending: policy.Ending(i % 3), Admit: i%2 == 0}
		r.Farewell = policy.Farewell{Data: strconv.Itoa(i), Send: policy.Send(i % 3)}
		all = append(all, policy.Subject{Rule: &r, Kind: policy.Infinite})
	}
	at := farewells(policy.NewPlan(20*sec, 3).Begin(all))
	assert.LessOrEqual(t, worst(at, 100*ms), 21)
	assert.InDelta(t, 10*sec, at[len(at)-1], float64(10*ms))
}

func TestPlanSlotsAreFlat(t *testing.T) {
	window := policy.Window{Min: 1 * sec, Max: 31 * sec}
	r, other := policy.Rule{Spread: 5 * sec, Reconnect: window}, policy.Rule{Spread: 2 * sec}
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		all := many(15_000, r, policy.Infinite)
		for i := range all {
			switch random.IntN(3) {
			case 0:
				all[i].Kind = policy.Finite
			case 1:
				all[i].Rule = &other
			}
		}
		p := policy.NewPlan(20*sec, seed)
		kinds := map[policy.Kind][]time.Duration{}
		for i, m := range p.Begin(all) {
			if all[i].Rule != &other {
				kinds[all[i].Kind] = append(kinds[all[i].Kind], m.Retry)
			}
		}
		slots := kinds[policy.Infinite]
		for at := sec; len(slots) < 10_000; at += ms {
			slots = append(slots, p.Late(policy.Subject{Rule: &r, Kind: policy.Infinite}, at).Retry)
		}
		require.LessOrEqual(t, peak(slots, window, 100), 1.2, "streams, seed %d", seed)
		require.LessOrEqual(t, peak(kinds[policy.Finite], window, 100), 1.2, "finite, seed %d", seed)
	}
}

// The first slots of replicas with different seeds differ.
func TestPlanSlotsDependOnTheSeed(t *testing.T) {
	var first []time.Duration
	for seed := range uint64(200) {
		first = append(first, policy.NewPlan(20*sec, seed).Begin([]policy.Subject{{}})[0].Retry)
	}
	assert.LessOrEqual(t, peak(first, policy.Window{Min: 1 * sec, Max: 5 * sec}, 4), 1.5)
}

// Clients come back at farewell plus slot, and that sum has to be flat too.
func TestReturnsAreFlat(t *testing.T) {
	r := policy.Rule{Spread: 10 * sec, Reconnect: policy.Window{Min: 1 * sec, Max: 11 * sec}}
	var back []time.Duration
	for _, m := range policy.NewPlan(20*sec, 5).Begin(many(10_000, r, policy.Infinite)) {
		back = append(back, m.Farewell+m.Retry)
	}
	slices.Sort(back)
	// Uniform farewells over 10 s and uniform slots over 10 s add up to a triangle, whose top is
	// 1,000 a second.
	assert.LessOrEqual(t, worst(back, 100*ms), 120)
}

func TestLate(t *testing.T) {
	const work = 20 * sec
	for name, tt := range map[string]struct {
		kind policy.Kind
		rule policy.Rule
		at   time.Duration
		want policy.Moments // but for Retry
	}{
		"stream":                  {policy.Infinite, policy.Rule{}, 5 * sec, policy.Moments{5 * sec, 5250 * ms, 6250 * ms, 0}},
		"stream, at once":         {policy.Infinite, policy.Rule{Grace: 9 * sec, Spread: 9 * sec}, 14 * sec, policy.Moments{14 * sec, 14250 * ms, 15250 * ms, 0}},
		"stream, little left":     {policy.Infinite, policy.Rule{}, 19 * sec, policy.Moments{19 * sec, 19200 * ms, 20 * sec, 0}},
		"stream, scaled down":     {policy.Infinite, policy.Rule{Timeout: 6 * sec, Mercy: 2 * sec}, 18 * sec, policy.Moments{18 * sec, 19500 * ms, 20 * sec, 0}},
		"stream, at the end":      {policy.Infinite, policy.Rule{}, work, policy.Moments{work, work, work, 0}},
		"stream, after it":        {policy.Infinite, policy.Rule{}, work + sec, policy.Moments{work, work, work, 0}},
		"stream, before all":      {policy.Infinite, policy.Rule{}, -sec, policy.Moments{0, 250 * ms, 1250 * ms, 0}},
		"finite":                  {policy.Finite, policy.Rule{}, 5 * sec, policy.Moments{5 * sec, 19 * sec, 20 * sec, 0}},
		"auto":                    {policy.Auto, policy.Rule{}, 5 * sec, policy.Moments{5 * sec, 19 * sec, 20 * sec, 0}},
		"finite, grace":           {policy.Finite, policy.Rule{Grace: 9 * sec}, 5 * sec, policy.Moments{5 * sec, 9 * sec, 10 * sec, 0}},
		"finite, after its grace": {policy.Finite, policy.Rule{Grace: 9 * sec}, 12 * sec, policy.Moments{12 * sec, 12 * sec, 13 * sec, 0}},
		"finite, little left":     {policy.Finite, policy.Rule{}, 19500 * ms, policy.Moments{19500 * ms, 19500 * ms, 20 * sec, 0}},
		"finite, after the end":   {policy.Finite, policy.Rule{}, math.MaxInt64, policy.Moments{work, work, work, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			got := policy.NewPlan(work, 1).Late(policy.Subject{Rule: &tt.rule, Kind: tt.kind}, tt.at)
			got.Retry = 0
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestReschedule(t *testing.T) {
	r := policy.Rule{Grace: 2 * sec, Spread: 5 * sec, Timeout: 3 * sec, Mercy: sec}
	p := policy.NewPlan(12*sec, 1)
	planned := p.Begin(many(1, r, policy.Infinite))[0]
	for at, want := range map[time.Duration]policy.Moments{
		0:        {Farewell: planned.Farewell, Cancel: planned.Farewell + 3*sec, Cut: planned.Farewell + 4*sec},
		5 * sec:  {Farewell: 5 * sec, Cancel: 8 * sec, Cut: 9 * sec},
		10 * sec: {Farewell: 10 * sec, Cancel: 11500 * ms, Cut: 12 * sec},
		13 * sec: {Farewell: 12 * sec, Cancel: 12 * sec, Cut: 12 * sec},
	} {
		want.Retry = planned.Retry
		assert.Equal(t, want, p.Reschedule(planned, policy.Subject{Rule: &r}, at), "%v", at)
	}
}

// Where the peer has to answer a farewell, a zero Timeout is longer; all else is the same.
func TestAnswers(t *testing.T) {
	const work = 20 * sec
	toTheEnd := policy.Rule{Grace: policy.ToTheEnd}
	for name, tt := range map[string]struct {
		rule policy.Rule
		kind policy.Kind
		at   time.Duration
		want policy.Moments // but for Retry
	}{
		"default":              {policy.Rule{}, policy.Infinite, 0, policy.Moments{0, 3 * sec, 4 * sec, 0}},
		"default, late":        {policy.Rule{}, policy.Infinite, 5 * sec, policy.Moments{5 * sec, 8 * sec, 9 * sec, 0}},
		"default, little left": {policy.Rule{}, policy.Infinite, 18 * sec, policy.Moments{18 * sec, 19500 * ms, 20 * sec, 0}},
		"default, to the end":  {toTheEnd, policy.Infinite, 0, policy.Moments{16 * sec, 19 * sec, 20 * sec, 0}},
		"specified":            {policy.Rule{Timeout: sec}, policy.Infinite, 0, policy.Moments{0, sec, 2 * sec, 0}},
		"at once":              {policy.Rule{Timeout: policy.AtOnce}, policy.Infinite, 0, policy.Moments{0, 1, sec + 1, 0}},
		"finite":               {policy.Rule{}, policy.Finite, 0, policy.Moments{0, 19 * sec, 20 * sec, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			s := policy.Subject{Rule: &tt.rule, Kind: tt.kind, Answers: true}
			got := []policy.Moments{policy.NewPlan(work, 1).Late(s, tt.at)}
			if tt.at == 0 {
				got = append(got, policy.NewPlan(work, 1).Begin([]policy.Subject{s})...)
			}
			if tt.kind == policy.Infinite && tt.rule.Grace == 0 {
				got = append(got, policy.NewPlan(work, 1).Reschedule(policy.Moments{}, s, tt.at))
			}
			for _, m := range got {
				m.Retry = 0
				assert.Equal(t, tt.want, m)
			}
		})
	}
}

// Those that answer and those that don't have one grid, one order and one sequence of slots, also
// under a rule that doesn't fit.
func TestAnswersAreSpreadWithTheOthers(t *testing.T) {
	for name, tt := range map[string]struct {
		work, spread time.Duration // spread as planned
		timeout      [2]time.Duration
	}{
		"fits":        {20 * sec, 10 * sec, [2]time.Duration{250 * ms, 3 * sec}},
		"doesn't fit": {7 * sec, 5 * sec, [2]time.Duration{155555555, 1500 * ms}},
	} {
		t.Run(name, func(t *testing.T) {
			r := policy.Rule{Spread: 10 * sec, Order: policy.OldestFirst}
			all := many(4_000, r, policy.Infinite)
			for i := range all {
				all[i].Age, all[i].Answers = time.Duration(-i), i%2 == 1
			}
			got := policy.NewPlan(tt.work, 1).Begin(all)
			for i, m := range got {
				require.InDelta(t, tt.spread*time.Duration(i)/4_000, m.Farewell, float64(tt.spread/8_000+1))
				require.InDelta(t, tt.timeout[i%2], m.Cancel-m.Farewell, float64(ms), "%d", i)
				require.LessOrEqual(t, m.Cut, tt.work)
			}
			assert.LessOrEqual(t, peak(retries(got), policy.Window{Min: 1 * sec, Max: 5 * sec}, 100), 1.1)
		})
	}
}

func TestEqualSeedsGiveEqualPlans(t *testing.T) {
	rules := []policy.Rule{{Spread: 10 * sec}, {Spread: 5 * sec, Mercy: 1}, {}, {Grace: sec}}
	plan := func(seed uint64) []policy.Moments {
		random := rand.New(rand.NewPCG(9, 9))
		var all []policy.Subject
		for range 5_000 {
			r := rules[random.IntN(len(rules))] // an address of its own, so that addresses can't matter
			all = append(all, policy.Subject{Rule: &r, Kind: policy.Kind(random.IntN(3))})
		}
		p := policy.NewPlan(20*sec, seed)
		return append(p.Begin(all), p.Late(policy.Subject{Kind: policy.Infinite}, sec))
	}
	assert.Equal(t, plan(1), plan(1))
	assert.NotEqual(t, plan(1), plan(2))
}

func TestBeginAllocates64BytesAResponse(t *testing.T) {
	for _, n := range []int{10_000, 100_000, 130_000} {
		all := many(n, policy.Rule{Spread: 10 * sec, Order: policy.Order(n / 100_000)}, policy.Infinite)
		p := policy.NewPlan(20*sec, 1)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		moments := p.Begin(all)
		runtime.ReadMemStats(&after)
		assert.LessOrEqual(t, (after.TotalAlloc-before.TotalAlloc)/uint64(n), uint64(64), "%d streams", n)
		runtime.KeepAlive(moments)
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

func TestGraceToTheEnd(t *testing.T) {
	const work = 20 * sec
	for name, tt := range map[string]struct {
		kind policy.Kind
		rule policy.Rule
		want policy.Moments
	}{
		"finite":                {policy.Finite, policy.Rule{}, policy.Moments{19 * sec, 19 * sec, 20 * sec, 0}},
		"finite, mercy":         {policy.Finite, policy.Rule{Mercy: 5 * sec}, policy.Moments{15 * sec, 15 * sec, 20 * sec, 0}},
		"stream, default end":   {policy.Infinite, policy.Rule{}, policy.Moments{18750 * ms, 19 * sec, 20 * sec, 0}},
		"stream, specified end": {policy.Infinite, policy.Rule{Timeout: 5 * sec, Mercy: 2 * sec}, policy.Moments{13 * sec, 18 * sec, 20 * sec, 0}},
		"stream, little left":   {policy.Infinite, policy.Rule{Timeout: 30 * sec, Mercy: 10 * sec}, policy.Moments{0, 15 * sec, 20 * sec, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			tt.rule.Grace = policy.ToTheEnd
			s := policy.Subject{Rule: &tt.rule, Kind: tt.kind}
			p := policy.NewPlan(work, 1)
			// Late leaves a stream alone as well: a WebSocket that was a plain request when the
			// drain began.
			for _, got := range append(p.Begin([]policy.Subject{s}), p.Late(s, 0)) {
				got.Retry = 0
				assert.Equal(t, tt.want, got)
			}
		})
	}
	b := policy.Budget{}
	r := policy.Rule{Grace: policy.ToTheEnd, Spread: 10 * sec, Timeout: 13 * sec}
	assert.NoError(t, b.Fit("/", r), "it takes what is left")
	r.Timeout++
	assert.ErrorContains(t, b.Fit("/", r), "needs 23.000000001s (spread 10s + timeout 13.000000001s)")
}
