package main

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// A fleet is a number of replicas, and of clients that hold one stream each.
type fleet struct {
	replicas, clients int
	// restart is the time from the last farewell of a replica until it is ready again.
	restart time.Duration
	// ignore is the share of clients, from 0 to 1, that retry at once whatever the population.
	ignore  float64
	balance balance
	// seed determines all that is random: equal seeds give equal rolls.
	seed uint64
}

// A connect is the return of one client.
type connect struct {
	at      time.Duration // since the roll began
	replica int32
}

// A trace is a record of one roll.
type trace struct {
	connects []connect       // in order of time
	drains   []time.Duration // by replica, the time from its drain's start to its last farewell
	took     time.Duration   // until the last replica was ready again
	moves    []uint32        // by client, how often it was moved
	away     []time.Duration // by client, its time out of service
	clients  [][]uint32      // by replica, its clients at the end
}

// An arrival is a client on its way back.
type arrival struct {
	at     time.Duration
	client uint32
}

// roll restarts the replicas of f one by one.
func (f fleet) roll(s strategy, c population) trace {
	random := rand.New(rand.NewPCG(f.seed, 1))
	t := trace{
		moves:   make([]uint32, f.clients),
		away:    make([]time.Duration, f.clients),
		clients: make([][]uint32, f.replicas),
	}
	for client := range f.clients {
		r := client % f.replicas
		t.clients[r] = append(t.clients[r], uint32(client))
	}
	// Behaviors have their own source of randomness, so that they are the same under every
	// strategy.
	behaviors := c.behaviors(f.clients, f.ignore, rand.New(rand.NewPCG(f.seed, 2)))

	var returning []arrival // sorted before use
	for r := range f.replicas {
		leaving := t.clients[r]
		t.clients[r] = nil
		var length time.Duration
		for i, told := range s.plan(len(leaving), random) {
			client := leaving[i]
			away := behaviors[client].wait(told.slot, random)
			t.moves[client]++
			t.away[client] += away
			length = max(length, told.at)
			returning = append(returning, arrival{t.took + told.at + away, client})
		}
		slices.SortFunc(returning, func(a, b arrival) int {
			return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.client, b.client))
		})
		t.drains = append(t.drains, length)
		t.took += length + f.restart
		back, _ := slices.BinarySearchFunc(returning, t.took, func(a arrival, ready time.Duration) int {
			return cmp.Compare(a.at, ready)
		})
		f.connect(&t, returning[:back], r, random)
		returning = returning[back:]
	}
	f.connect(&t, returning, noReplica, random)
	return t
}

// noReplica is the index of no replica: where it is out, every replica is ready.
const noReplica = -1

// connect gives each returning client a replica other than out.
func (f fleet) connect(t *trace, returning []arrival, out int, random *rand.Rand) {
	for _, a := range returning {
		r := f.balance.choose(t.clients, out, random)
		t.clients[r] = append(t.clients[r], a.client)
		t.connects = append(t.connects, connect{a.at, int32(r)})
	}
}

// check returns an error if f can't be simulated.
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
