package main

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// A fleet is what is rolled: so many replicas, and so many clients that hold a stream each.
type fleet struct {
	replicas, clients int
	// restart is how long a replica is away between its last client's farewell and being ready again.
	restart time.Duration
	// ignore is the share of clients, from 0 to 1, that are hasty whatever the others are.
	ignore  float64
	balance balance
	// seed makes all that is random: equal seeds give equal rolls.
	seed uint64
}

// A connect is a client's return.
type connect struct {
	at      time.Duration // since the roll began
	replica int32
}

// A trace is what happened in one roll.
type trace struct {
	connects []connect       // in order of time
	drains   []time.Duration // of each replica, from the first moment to the last farewell
	took     time.Duration   // until the last replica was ready again
	moves    []uint32        // of each client
	away     []time.Duration // of each client, in all
	homes    [][]uint32      // the clients of each replica in the end
}

// An arrival is a client on its way back.
type arrival struct {
	at     time.Duration
	client uint32
}

// roll restarts the replicas of f one by one, with clients of such a crowd.
func (f fleet) roll(s strategy, c crowd) trace {
	random := rand.New(rand.NewPCG(f.seed, 1))
	t := trace{
		moves: make([]uint32, f.clients),
		away:  make([]time.Duration, f.clients),
		homes: make([][]uint32, f.replicas),
	}
	for client := range f.clients {
		r := client % f.replicas
		t.homes[r] = append(t.homes[r], uint32(client))
	}
	// Whose habit is which is drawn apart from all else, so that it is the same under every strategy.
	habits := c.habits(f.clients, f.ignore, rand.New(rand.NewPCG(f.seed, 2)))

	var coming []arrival
	for r := range f.replicas {
		leaving := t.homes[r]
		t.homes[r] = nil
		var length time.Duration
		for i, told := range s.plan(len(leaving), random) {
			client := leaving[i]
			away := habits[client].wait(told.slot, random)
			t.moves[client]++
			t.away[client] += away
			length = max(length, told.at)
			coming = append(coming, arrival{t.took + told.at + away, client})
		}
		slices.SortFunc(coming, func(a, b arrival) int {
			return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.client, b.client))
		})
		t.drains = append(t.drains, length)
		t.took += length + f.restart
		back, _ := slices.BinarySearchFunc(coming, t.took, func(a arrival, ready time.Duration) int {
			return cmp.Compare(a.at, ready)
		})
		f.connect(&t, coming[:back], r, random)
		coming = coming[back:]
	}
	f.connect(&t, coming, nobody, random)
	return t
}

// nobody is out: every replica is ready.
const nobody = -1

// connect gives each of the coming a replica other than out.
func (f fleet) connect(t *trace, coming []arrival, out int, random *rand.Rand) {
	for _, a := range coming {
		r := f.balance.choose(t.homes, out, random)
		t.homes[r] = append(t.homes[r], a.client)
		t.connects = append(t.connects, connect{a.at, int32(r)})
	}
}

// check says what can't be simulated.
func (f fleet) check() error {
	switch {
	case f.replicas < 2:
		return fmt.Errorf("-replicas is %d; a roll needs another replica to send clients to: use 2 or more", f.replicas)
	case f.clients < 0 || f.clients > math.MaxUint32:
		return fmt.Errorf("-clients is %d; use 0 to %d", f.clients, uint32(math.MaxUint32))
	case f.restart < 0:
		return fmt.Errorf("-restart is %v; use 0 or more", f.restart)
	case !(f.ignore >= 0 && f.ignore <= 1):
		return fmt.Errorf("-ignore is %v; use a share from 0 to 1", f.ignore)
	}
	return nil
}
