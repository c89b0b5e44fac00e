package middleware

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func working(w *workers) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.working)
}

// However much there is to do, few do it, and none is left afterwards.
func TestWorkersAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done, woken atomic.Int32
		w := &workers{wake: func() { woken.Add(1) }, guard: func(f func()) { f() }}
		for range 1000 {
			w.do(func() {
				done.Add(1)
				assert.LessOrEqual(t, working(w), fewest())
			})
		}
		w.all.Wait()
		assert.EqualValues(t, 1000, done.Load())
		assert.NotZero(t, woken.Load(), "who waits for room hears of it")
		assert.True(t, w.hasRoom())
		assert.Zero(t, working(w))
		assert.Zero(t, w.unstick(time.Now()))
	})
}

// What waits behind workers that are stuck is done soon, and in order.
func TestStuckWorkersGetHelp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const stuck = 500
		w := &workers{wake: func() {}, guard: func(f func()) { f() }}
		release, done := make(chan struct{}), make(chan struct{})
		for range stuck {
			w.do(func() { <-release })
		}
		assert.False(t, w.hasRoom())
		w.do(func() { close(done) })
		began := time.Now()
		for isDone := false; !isDone; {
			synctest.Wait()
			if isDone = isClosed(done); !isDone {
				time.Sleep(time.Until(w.unstick(time.Now())))
			}
		}
		assert.LessOrEqual(t, time.Since(began), 10*stuckAfter)
		assert.Equal(t, stuck, working(w))
		close(release)
		w.all.Wait()
		assert.Zero(t, working(w))
	})
}
