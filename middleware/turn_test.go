package middleware

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
)

// One at a time has the turn, and each word that is left is acted on once, by
// whoever has it, whenever it is left.
func TestTurn(t *testing.T) {
	const workers, each = 4, 5000
	var turn turn
	var inside, left, acted atomic.Int64
	act := func() {
		assert.EqualValues(t, 1, inside.Add(1))
		inside.Add(-1)
	}
	give := func() {
		for turn.give() != nil {
			act()
			acted.Add(1)
		}
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				turn.take()
				act()
				give()
			}
		})
	}
	wg.Go(func() { // the drain: one, which leaves no word before the last was acted on
		for range each {
			if turn.leave(&word{}) == turnFree {
				act()
				give()
				continue
			}
			left.Add(1)
			for acted.Load() != left.Load() {
				turn.take() // whoever has it now gives it, with the word
				give()
			}
		}
	})
	wg.Wait()
	assert.Equal(t, left.Load(), acted.Load())
	assert.Equal(t, turnFree, turn.state.Load())
}

func TestTurnThatEnded(t *testing.T) {
	var turn turn
	turn.take()
	called := 0
	turn.unlessOver(func() { called++ })
	waiting := make(chan bool)
	go func() { waiting <- turn.take() }()
	ended := make(chan struct{})
	go func() {
		turn.end()
		close(ended)
	}()
	assert.Contains(t, []int32{turnTaken, turnWanted}, turn.leave(&word{}))
	assert.NotNil(t, turn.give())
	assert.Nil(t, turn.give())
	if <-waiting { // it came before the end
		turn.give()
	}
	<-ended
	assert.False(t, turn.take(), "it is over")
	assert.Equal(t, turnOver, turn.leave(&word{}))
	turn.unlessOver(func() { called++ })
	assert.Equal(t, 1, called)
}

// What is done unless the turn is over keeps it from being over, whether or not
// somebody has it, and leaves it as it was.
func TestTheEndOfATurnWaitsForWhatIsDoneBesideIt(t *testing.T) {
	for name, had := range map[string]bool{"had": true, "free": false} {
		t.Run(name, func(t *testing.T) {
			var turn turn
			if had {
				turn.take()
			}
			var done atomic.Bool
			ended := make(chan bool)
			turn.unlessOver(func() {
				go func() {
					turn.end()
					ended <- done.Load()
				}()
				for range 1000 {
					runtime.Gosched()
				}
				done.Store(true)
			})
			if had {
				turn.give()
			}
			assert.True(t, <-ended)
		})
	}
}
