package stream_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

func begin(g *stream.Registry) (*stream.Entry, bool) {
	e := new(stream.Entry)
	return e, e.Track(g, request(context.Background()), new(policy.Rule), nil)
}

func TestRegistryCounts(t *testing.T) {
	var g stream.Registry
	var all []*stream.Entry
	for range 10 {
		e, ok := begin(&g)
		require.True(t, ok)
		all = append(all, e)
	}
	all[0].Settle(policy.Infinite, stream.SSE, "")
	all[1].Settle(policy.Infinite, stream.WebSocket, "")
	all[2].Settle(policy.Infinite, stream.Hijacked, "")
	all[3].Settle(policy.Finite, stream.SSE, "") // an answer that types itself
	assert.Equal(t, stream.Tally{Finite: 7, SSE: 1, WebSocket: 1, Other: 1}, g.Counts().Open)
	assert.Equal(t, 3, g.Counts().Open.Streams())

	assert.True(t, all[9].End(stream.Completed))
	assert.False(t, all[9].End(stream.Cut), "only the first counts")
	assert.True(t, all[9].Ended())
	g.Mark()
	all[8].End(stream.Completed)
	late, ok := begin(&g)
	assert.True(t, ok, "still admitting")
	open, empty := g.Seal()
	assert.ElementsMatch(t, append(all[:8:8], late), open)
	_, ok = begin(&g)
	assert.False(t, ok)
	all[0].End(stream.Told)
	c := g.Counts()
	assert.EqualValues(t, 1, c.Before.All())
	assert.EqualValues(t, 1, c.Ended.Completed)
	assert.EqualValues(t, 1, c.Ended.Told)
	assert.EqualValues(t, 1, c.Ended.Refused)
	assert.Equal(t, 8, c.Open.All())
	assert.Len(t, g.Open(), 8)
	for _, e := range g.Open() {
		select {
		case <-empty:
			t.Fatal("empty while something is open")
		default:
		}
		e.End(stream.Cancelled)
	}
	<-empty
}

func TestEmptyRegistryIsEmptyOnceSealed(t *testing.T) {
	var g stream.Registry
	open, empty := g.Seal()
	assert.Empty(t, open)
	<-empty
}

func TestReopen(t *testing.T) {
	var g stream.Registry
	stays, _ := begin(&g)
	goes, _ := begin(&g)
	for round := range uint64(3) {
		g.Mark()
		_, empty := g.Seal()
		_, ok := begin(&g)
		require.False(t, ok)
		goes.End(stream.Told)
		assert.Equal(t, stream.Outcomes{Told: 1, Refused: 1}, g.Counts().Ended)

		g.Reopen()
		assert.Equal(t, stream.Outcomes{Told: round + 1, Refused: round + 1}, g.Counts().Before, "what ended meanwhile ended before")
		assert.Zero(t, g.Counts().Ended)
		goes, ok = begin(&g)
		require.True(t, ok, "admitting again")
		select {
		case <-empty:
			t.Fatal("it was never empty")
		default:
		}
	}
	stays.End(stream.Completed)
	_, empty := g.Seal()
	goes.End(stream.Completed)
	<-empty
	assert.Equal(t, stream.Outcomes{Completed: 1, Told: 3, Refused: 3}, g.Counts().Before)
}

// A response that is being registered as the registry is sealed is either among
// those that Seal gives or refused.
func TestSealRacesWithTrack(t *testing.T) {
	const workers, each = 4, 200
	for range 50 {
		var g stream.Registry
		var admitted, refused atomic.Int64
		var mine sync.Map
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range each {
					e, ok := begin(&g)
					if !ok {
						refused.Add(1)
						continue
					}
					admitted.Add(1)
					if rand.IntN(2) == 0 {
						e.End(stream.Completed)
					} else {
						mine.Store(e, true)
					}
				}
			})
		}
		sealed, empty := g.Seal()
		wg.Wait()
		c := g.Counts()
		require.EqualValues(t, workers*each, admitted.Load()+refused.Load())
		require.EqualValues(t, refused.Load(), c.Ended.Refused)
		given := make(map[*stream.Entry]bool)
		for _, e := range sealed {
			given[e] = true
		}
		for _, e := range g.Open() {
			require.True(t, given[e], "open, and unknown to Seal")
			e.End(stream.Told)
		}
		<-empty
		require.EqualValues(t, admitted.Load(), g.Counts().Before.All()+g.Counts().Ended.Completed+g.Counts().Ended.Told)
	}
}
