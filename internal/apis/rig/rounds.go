package rig

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	rounds = flag.Int("rounds", 20, "how many rounds each cell has")
	seed   = flag.Uint64("seed", 0, "of the first round; the one behind it has the next. 0: a random one")
)

// Limit is how long a test waits for something that has to happen. It is far longer than that
// takes, so that it holds on a slow machine too.
const Limit = time.Minute

// turn has room for the rounds that run at the same time, of all cells. They mostly wait, but more
// of them make a small machine stall.
var turn = make(chan struct{}, 150)

var hosts atomic.Uint32

// A Round is one of many, alike but for its dice. Failures in it name its seed.
type Round struct {
	testing.TB
	Seed uint64
	Host string // a loopback address of its own: no other round gets a port that one of its servers has left

	mu   sync.Mutex
	dice *rand.Rand // guarded by mu
}

// Of returns a random number below n.
func (r *Round) Of(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dice.IntN(n)
}

// Moment returns a random time below most.
func (r *Round) Moment(most time.Duration) time.Duration { return time.Duration(r.Of(int(most))) }

// AwaitSome waits for the arrival of a request in three rounds of four, and then for a random
// moment: in the others all that comes is late.
func (r *Round) AwaitSome(arrived <-chan struct{}, most time.Duration) {
	if r.Of(4) > 0 {
		Pause(Limit, arrived)
	}
	Pause(r.Moment(most), nil)
}

// Errorf implements testify's TestingT.
func (r *Round) Errorf(format string, args ...any) {
	r.TB.Helper()
	r.TB.Errorf("-seed %d: %s", r.Seed, fmt.Sprintf(format, args...))
}

// Rounds runs the rounds of a cell, and no more once one has failed.
func Rounds(t *testing.T, round func(r *Round)) {
	first := *seed
	if first == 0 {
		first = rand.Uint64() >> 16
	}
	t.Logf("%d rounds from -seed %d", *rounds, first)
	t.Run("rounds", func(t *testing.T) {
		var all sync.WaitGroup
		for i := range uint64(*rounds) {
			turn <- struct{}{}
			if t.Failed() {
				<-turn
				break
			}
			all.Go(func() {
				defer func() { <-turn }()
				t.Run("", func(t *testing.T) { // with cleanups of its own
					n := hosts.Add(1)
					host := fmt.Sprintf("127.77.%d.%d", n/250%250, 1+n%250)
					round(&Round{TB: t, Seed: first + i, Host: host, dice: rand.New(rand.NewPCG(first+i, 1))})
				})
			})
		}
		all.Wait()
	})
}

// Pause waits for d, or until done is closed or sent to; nil never is. It reports whether d is
// over.
func Pause(d time.Duration, done <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-done:
		return false
	}
}
