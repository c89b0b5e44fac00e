package ws

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
)

func TestTurn(t *testing.T) {
	t.Run("one has it", func(t *testing.T) {
		turn, held, taken := newTurn(), 0, 0 // the race detector watches both
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for i := range 2000 {
					if i%3 > 0 {
						turn.take()
					} else if !turn.try() {
						continue
					}
					held++
					assert.Equal(t, 1, held)
					taken++
					held--
					turn.release()
				}
			})
		}
		all.Wait()
		assert.GreaterOrEqual(t, taken, 8*1333)
		assert.True(t, turn.try(), "in the end it is free")
	})
	t.Run("who waits is durably blocked, and is woken", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			turn := newTurn()
			turn.take()
			waits := make([]*call, 3)
			for i := range waits {
				waits[i] = do(turn.take)
				assert.False(t, turn.try())
			}
			for range waits {
				turn.release()
				synctest.Wait()
			}
			for _, w := range waits {
				assert.True(t, w.done.Load())
			}
			turn.release()
			assert.True(t, turn.try())
		})
	})
}
