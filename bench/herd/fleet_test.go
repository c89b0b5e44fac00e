package main

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

const (
	ms  = time.Millisecond
	sec = time.Second
)

// at is a strategy with the i-th moment for the i-th client of each replica and one slot for all.
func at(slot time.Duration, moments ...time.Duration) strategy {
	return strategy{"by hand", func(n int, _ *rand.Rand) []farewell {
		all := make([]farewell, n)
		for i := range all {
			all[i] = farewell{moments[i], slot}
		}
		return all
	}}
}

// With two replicas there is no choice. The first drains clients 0 and 2, the second all four.
func TestRollOfTwoByHand(t *testing.T) {
	f := fleet{replicas: 2, clients: 4, restart: sec, balance: atRandom}
	got := f.roll(atOnce(), allRetryAtOnce)
	assert.Equal(t, []connect{{10 * ms, 1}, {10 * ms, 1}, {1010 * ms, 0}, {1010 * ms, 0}, {1010 * ms, 0}, {1010 * ms, 0}}, got.connects)
	assert.Equal(t, []time.Duration{0, 0}, got.drains)
	assert.Equal(t, 2*sec, got.took)
	assert.Equal(t, []uint32{2, 1, 2, 1}, got.moves)
	assert.Equal(t, []time.Duration{20 * ms, 10 * ms, 20 * ms, 10 * ms}, got.away)
	assert.Empty(t, got.clients[1])
	assert.ElementsMatch(t, []uint32{0, 1, 2, 3}, got.clients[0])
	assert.Equal(t, figures{strategy: "s", peak: 4, single: 4, median: 10 * ms, tail: 20 * ms, again: 2, moves: 6, took: 2 * sec},
		got.figures("s"))
}

// Client 0 gets its farewell at 0 and comes back at 5 s, when replica 0 is ready again and replica
// 1 has just become so. Client 2 gets its farewell at 3 s and comes back at 8 s: both are ready
// then, and the first has client 0 already.
func TestRollWithSlotsByHand(t *testing.T) {
	f := fleet{replicas: 2, clients: 3, restart: sec, balance: leastLoaded}
	got := f.roll(at(5*sec, 0, 3*sec), allHonorSlots)
	// Replica 0 drains until 3 s and is ready at 4 s. Replica 1 drains client 1 at 4 s, which comes
	// back at 9 s, and is ready at 5 s, when client 0 comes back and could go to either.
	assert.Equal(t, []time.Duration{3 * sec, 0}, got.drains)
	assert.Equal(t, 5*sec, got.took)
	assert.Equal(t, []connect{{5 * sec, 0}, {8 * sec, 1}, {9 * sec, 0}}, got.connects)
	assert.Equal(t, [][]uint32{{0, 1}, {2}}, got.clients)
	assert.Equal(t, []time.Duration{5 * sec, 5 * sec, 5 * sec}, got.away)
}

// strategies returns all strategies, with batches so small that small fleets have several.
func strategies() []strategy {
	return []strategy{
		atOnce(),
		batches(100, 2*sec, 30*sec),
		slowDrain(anycablePeriod, anycableGap),
		lameDuck(natsDuration, natsGrace),
		lastcall(policy.Rule{Spread: 3 * sec}),
		lastcall(policy.Rule{Reconnect: policy.Window{Min: sec, Max: 30 * sec}}.Over(policy.TellComeBack())),
	}
}

func everywhere(t *testing.T, f fleet, check func(t *testing.T, s strategy, c population, f fleet)) {
	for _, b := range []balance{atRandom, leastLoaded} {
		f.balance = b
		for _, c := range []population{allRetryAtOnce, allHonorSlots, allHonor1012, mixed} {
			for _, s := range strategies() {
				t.Run(string(b)+"/"+c.name+"/"+s.name, func(t *testing.T) { check(t, s, c, f) })
			}
		}
	}
}

func TestRollKeepsEveryClient(t *testing.T) {
	everywhere(t, fleet{replicas: 7, clients: 3001, restart: 2 * sec, ignore: 0.05, seed: 3}, func(t *testing.T, s strategy, c population, f fleet) {
		got := f.roll(s, c)
		var home []uint32
		for _, h := range got.clients {
			home = append(home, h...)
		}
		slices.Sort(home)
		require.Len(t, home, f.clients)
		for i, client := range home {
			require.EqualValues(t, i, client)
		}
		moves := 0
		for client, n := range got.moves {
			require.NotZero(t, n, "a roll moves every client")
			require.GreaterOrEqual(t, got.away[client], time.Duration(n)*retryWait)
			moves += int(n)
		}
		assert.Len(t, got.connects, moves)
		assert.True(t, slices.IsSortedFunc(got.connects, func(a, b connect) int { return cmp.Compare(a.at, b.at) }))
	})
}

func TestRollAvoidsReplicasThatAreOut(t *testing.T) {
	everywhere(t, fleet{replicas: 5, clients: 1000, restart: 2 * sec, seed: 4}, func(t *testing.T, s strategy, c population, f fleet) {
		got := f.roll(s, c)
		require.Len(t, got.drains, f.replicas)
		var begin time.Duration
		for r, d := range got.drains {
			ready := begin + d + f.restart
			for _, c := range got.connects {
				require.False(t, int(c.replica) == r && begin <= c.at && c.at < ready, "replica %d is out at %v", r, c.at)
			}
			begin = ready
		}
		assert.Equal(t, begin, got.took)
	})
}

func TestEqualSeedsGiveEqualRolls(t *testing.T) {
	f := fleet{replicas: 4, clients: 500, restart: sec, ignore: 0.05, balance: atRandom, seed: 5}
	for _, s := range strategies() {
		assert.Equal(t, f.roll(s, mixed), f.roll(s, mixed), s.name)
		other := f
		other.seed++
		assert.NotEqual(t, f.roll(s, mixed), other.roll(s, mixed), s.name)
	}
}

func TestChoose(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	clients := [][]uint32{{1, 2}, {3}, {}, {4}}
	assert.Equal(t, 2, leastLoaded.choose(clients, noReplica, random))
	assert.Equal(t, 1, leastLoaded.choose(clients, 2, random), "the first of equals")

	const n = 40_000
	for _, out := range []int{noReplica, 0, 1, 3} {
		got := make([]int, len(clients))
		for range n {
			got[atRandom.choose(clients, out, random)]++
		}
		ready := len(clients)
		if out != noReplica {
			assert.Zero(t, got[out])
			ready--
		}
		for r, times := range got {
			if r != out {
				assert.InEpsilon(t, n/ready, times, 0.05, "replica %d without %d", r, out)
			}
		}
	}
}
