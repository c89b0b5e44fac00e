package middleware

import (
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
			if turn.leave(&word{}) {
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
	assert.Equal(t, free, turn.state.Load())
}

func TestTurnThatEnded(t *testing.T) {
	var turn turn
	turn.take()
	called := 0
	turn.unlessOver(func() { called++ })
	waiting := make(chan bool)
	go func() {
		turn.take()
		waiting <- turn.over
		turn.give()
	}()
	assert.False(t, turn.leave(&word{}))
	turn.end()
	assert.True(t, <-waiting, "who waited for it sees that it is over")
	turn.unlessOver(func() { called++ })
	assert.Equal(t, 1, called)
}
