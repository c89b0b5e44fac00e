package main

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

func plan(s strategy, n int) []farewell { return s.plan(n, rand.New(rand.NewPCG(1, 1))) }

func moments(s strategy, n int) (at []time.Duration) {
	for _, f := range plan(s, n) {
		at = append(at, f.at)
	}
	return at
}

func TestOtherStrategies(t *testing.T) {
	for _, s := range strategies() {
		assert.Empty(t, plan(s, 0), s.name)
	}
	for _, s := range strategies()[:4] {
		for _, f := range plan(s, 10) {
			assert.Equal(t, noSlot, f.slot, s.name)
		}
	}
	assert.Equal(t, []time.Duration{0, 0, 0}, moments(atOnce(), 3))

	assert.Equal(t, []time.Duration{0, 0, 2 * sec, 2 * sec, 4 * sec}, moments(batches(2, 2*sec, 30*sec), 5))
	assert.Equal(t, []time.Duration{0, 2 * sec, 3 * sec, 3 * sec, 3 * sec}, moments(batches(1, 2*sec, 3*sec), 5), "killed")

	// The log line in AnyCable's documentation has 1,234 clients in 24.7 s.
	slow := moments(slowDrain(anycablePeriod, anycableGap), 1234)
	assert.InDelta(t, 24.7, slow[1233].Seconds(), 0.03)
	assert.InDelta(t, 24.7/2, slow[617].Seconds(), 0.03)
	assert.Equal(t, []time.Duration{0, 500 * ms, 1 * sec}, moments(slowDrain(anycablePeriod, anycableGap), 3))
}

func TestLameDuck(t *testing.T) {
	for _, tt := range []struct {
		n     int
		apart time.Duration
	}{{20, sec}, {11_000, 10 * ms}} {
		at := moments(lameDuck(natsDuration, natsGrace), tt.n)
		assert.Equal(t, 10*sec, at[0])
		for i := 1; i < tt.n; i++ {
			gap := at[i] - at[i-1]
			require.True(t, tt.apart/2 <= gap && gap < tt.apart, "%v", gap)
		}
		assert.InEpsilon(t, 5./8, float64(at[tt.n-1]-at[0])/float64(time.Duration(tt.n-1)*tt.apart), 0.1)
	}
}

func TestLastcallUsesThePlan(t *testing.T) {
	const n = 5000
	r := policy.Rule{Spread: 10 * sec, Reconnect: policy.Window{Min: 2 * sec, Max: 7 * sec}}
	require.NoError(t, policy.Check(r, budget(r)))
	got := plan(lastcall(r), n)

	// A Plan that is used directly gives the same.
	want := policy.NewPlan(budget(r).Total-budget(r).Reserve, rand.New(rand.NewPCG(1, 1)).Uint64()).
		Begin(slices.Repeat([]policy.Subject{{Rule: &r, Kind: policy.Infinite}}, n))
	for i, m := range want {
		require.Equal(t, farewell{m.Farewell, m.Retry}, got[i])
		require.True(t, 2*sec <= got[i].slot && got[i].slot < 7*sec)
		require.Less(t, got[i].at, 10*sec, "nothing was squeezed, so nothing is early or late")
	}
	at := moments(lastcall(r), n)
	assert.InDelta(t, 10, slices.Max(at).Seconds(), 0.01)
}

// A tenth of the command's clients in batches of a tenth, so that a replica has as many batches.
func TestLastcallPeakIsATenthOfTheBatches(t *testing.T) {
	f := fleet{replicas: 20, clients: 100_000, restart: 10 * sec, ignore: 0.05, balance: atRandom, seed: 1}
	for _, c := range []population{allRetryAtOnce, allHonorSlots} {
		batched := f.roll(batches(phoenixBatch/10, phoenixInterval, phoenixShutdown), c)
		paced := f.roll(lastcall(policy.Rule{Spread: mean(batched.drains)}), c)
		assert.InEpsilon(t, batched.took, paced.took, 0.005, c.name)
		theirs, ours := batched.figures("").peak, paced.figures("").peak
		assert.LessOrEqual(t, 10*ours, theirs, c.name)
	}
}
