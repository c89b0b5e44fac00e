package main

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestWait(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	assert.Equal(t, 10*ms, retriesAtOnce.wait(noSlot, random))
	assert.Equal(t, 10*ms, retriesAtOnce.wait(7*sec, random))
	assert.Equal(t, 3*sec, honorsSlot.wait(noSlot, random))
	assert.Equal(t, 7*sec, honorsSlot.wait(7*sec, random))
	assert.Zero(t, honorsSlot.wait(0, random), "a slot may be now")

	var sum time.Duration
	least, most := time.Hour, time.Duration(0)
	for range 10_000 {
		w := honors1012.wait(7*sec, random)
		sum, least, most = sum+w, min(least, w), max(most, w)
	}
	assert.InDelta(t, 17.5, (sum / 10_000).Seconds(), 0.3)
	assert.True(t, 5*sec <= least && least < 5100*ms, "%v", least)
	assert.True(t, 29900*ms < most && most < 30*sec, "%v", most)
}

func TestHabits(t *testing.T) {
	count := func(c population, ignore float64) (n [3]float64) {
		for _, h := range c.behaviors(30_000, ignore, rand.New(rand.NewPCG(1, 1))) {
			n[h] += 1. / 30_000
		}
		return n
	}
	assert.InDeltaSlice(t, []float64{0, 0, 1}, sliceOf(count(allHonorSlots, 0)), 1e-9)
	assert.InDeltaSlice(t, []float64{1, 0, 0}, sliceOf(count(allHonorSlots, 1)), 1e-9)
	assert.InDeltaSlice(t, []float64{0.05, 0.95, 0}, sliceOf(count(allHonor1012, 0.05)), 0.01)
	assert.InDeltaSlice(t, []float64{0.05 + 0.95/3, 0.95 / 3, 0.95 / 3}, sliceOf(count(mixed, 0.05)), 0.01)
}

func sliceOf(n [3]float64) []float64 { return n[:] }
