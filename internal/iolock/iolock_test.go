package iolock

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOneHoldsIt(t *testing.T) {
	var lock Lock
	inside, locked := 0, 0 // the race detector watches both
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 2000 {
				if i%3 > 0 {
					lock.Lock()
				} else if !lock.TryLock() {
					continue
				}
				inside++
				assert.Equal(t, 1, inside)
				locked++
				inside--
				lock.Unlock()
			}
		})
	}
	all.Wait()
	assert.GreaterOrEqual(t, locked, 8*1333)
	assert.True(t, lock.TryLock(), "in the end it is free")
}

// A bubble in which somebody waits for a sync.Mutex never comes to rest, and the test would hang.
func TestWaitersAreDurablyBlockedAndWoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lock Lock
		lock.Lock()
		got := make(chan bool, 3)
		for range cap(got) {
			go func() {
				lock.Lock()
				got <- true
			}()
			synctest.Wait()
			assert.False(t, lock.TryLock())
		}
		for n := range cap(got) {
			assert.Len(t, got, n)
			lock.Unlock()
			synctest.Wait()
			assert.False(t, lock.TryLock(), "one of them has it")
		}
		assert.Len(t, got, cap(got))
		lock.Unlock()
		assert.True(t, lock.TryLock())
	})
}

func TestAllocatesNothingWhileNobodyWaits(t *testing.T) {
	var lock Lock
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		lock.Lock()
		if lock.TryLock() {
			panic("locked twice")
		}
		lock.Unlock()
	}))
}

func TestUnlockOfUnlockedPanics(t *testing.T) {
	var lock Lock
	assert.Panics(t, lock.Unlock)
	assert.True(t, lock.TryLock(), "and harms nothing")
}
