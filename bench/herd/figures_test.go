package main

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPeaksByHand(t *testing.T) {
	for name, tt := range map[string]struct {
		connects []connect
		all, one int
	}{
		"none":                            {nil, 0, 0},
		"one":                             {[]connect{{0, 0}}, 1, 1},
		"100 ms apart":                    {[]connect{{0, 0}, {100 * ms, 0}}, 1, 1},
		"less apart":                      {[]connect{{1, 0}, {100 * ms, 0}}, 2, 2},
		"on both sides of a second's end": {[]connect{{950 * ms, 0}, {990 * ms, 1}, {1010 * ms, 1}, {1060 * ms, 0}}, 3, 2},
	} {
		all, one := peaks(tt.connects, 2)
		assert.Equal(t, tt.all, all, name)
		assert.Equal(t, tt.one, one, name)
	}
}

// The fullest window begins with a connect, so it is enough to count from each connect.
func TestPeaksAgainstANaiveCount(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		replicas := 1 + random.IntN(4)
		connects := make([]connect, random.IntN(150))
		span := 1 + random.Int64N(int64(2*sec))
		for i := range connects {
			// Steps of 10 ms make many connects simultaneous and many just 100 ms apart.
			connects[i] = connect{time.Duration(random.Int64N(span)).Truncate(10 * ms), int32(random.IntN(replicas))}
		}
		slices.SortFunc(connects, func(a, b connect) int { return int(a.at - b.at) })

		wantAll, wantOne := 0, 0
		for _, from := range connects {
			n, each := 0, make([]int, replicas)
			for _, c := range connects {
				if c.at >= from.at && c.at < from.at+window {
					n++
					each[c.replica]++
				}
			}
			wantAll, wantOne = max(wantAll, n), max(wantOne, slices.Max(each))
		}
		all, one := peaks(connects, replicas)
		require.Equal(t, wantAll, all)
		require.Equal(t, wantOne, one)
	}
}

func TestQuantile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	assert.EqualValues(t, 50, quantile(hundred, 50))
	assert.EqualValues(t, 99, quantile(hundred, 99))
	assert.EqualValues(t, 2, quantile(hundred[:3], 50))
	assert.EqualValues(t, 3, quantile(hundred[:3], 99))
	assert.EqualValues(t, 1, quantile(hundred[:1], 50))
	assert.Zero(t, quantile(nil, 50))
}

func TestWorst(t *testing.T) {
	connects := []connect{{0, 0}, {99 * ms, 1}, {100 * ms, 0}, {950 * ms, 0}, {2200 * ms, 0}, {2201 * ms, 0}, {2299 * ms, 1}, {3 * sec, 0}}
	assert.Equal(t, []int{2, 0, 3}, worst(connects, sec, 3*sec), "what is later is cut off")
	assert.Equal(t, []int{2, 0, 3, 1}, worst(connects, sec, 3*sec+1))
	assert.Equal(t, []int{2, 1, 0, 0}, worst(connects, window, 400*ms))
	assert.Empty(t, worst(nil, sec, 0))
}
