package tracked_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

func begin(g *tracked.Registry) (*tracked.Response, bool) {
	r := new(tracked.Response)
	return r, r.Begin(g, request(context.Background()), new(policy.Rule), nil)
}

func TestRegistryCounts(t *testing.T) {
	var g tracked.Registry
	var all []*tracked.Response
	for range 10 {
		r, ok := begin(&g)
		require.True(t, ok)
		all = append(all, r)
	}
	all[0].SetShape(policy.Infinite, format.SSE, "")
	all[1].SetShape(policy.Infinite, format.WebSocket, "")
	all[2].SetShape(policy.Infinite, format.Hijacked, "")
	all[3].SetShape(policy.Finite, format.SSE, "") // an answer that types itself

	assert.True(t, all[9].End(tracked.Completed))
	assert.False(t, all[9].End(tracked.Cut), "only the first counts")
	_, ended := all[9].Outcome()
	assert.True(t, ended)
	g.BeginCount()
	all[8].End(tracked.Completed)
	late, ok := begin(&g)
	assert.True(t, ok, "still admitting")
	open, empty := g.Close(nil)
	assert.ElementsMatch(t, append(all[:8:8], late), open)
	_, ok = begin(&g)
	assert.False(t, ok)
	all[0].End(tracked.Told)
	before, since, left := g.Counts()
	assert.Equal(t, tracked.Counts{tracked.Completed: 1}, before)
	assert.Equal(t, tracked.Counts{tracked.Completed: 1, tracked.Told: 1, tracked.Refused: 1}, since.Counts)
	assert.ElementsMatch(t, append(all[1:8:8], late), left)
	assert.ElementsMatch(t, left, g.Open())
	for _, r := range g.Open() {
		select {
		case <-empty:
			t.Fatal("empty while something is open")
		default:
		}
		r.End(tracked.Canceled)
	}
	<-empty
}

func TestEmptyRegistryIsEmptyOnceClosed(t *testing.T) {
	var g tracked.Registry
	open, empty := g.Close(nil)
	assert.Empty(t, open)
	<-empty
}

func TestReopen(t *testing.T) {
	var g tracked.Registry
	stays, _ := begin(&g)
	goes, _ := begin(&g)
	for round := range uint64(3) {
		g.BeginCount()
		_, empty := g.Close(nil)
		_, ok := begin(&g)
		require.False(t, ok)
		goes.End(tracked.Told)
		_, since, _ := g.Counts()
		assert.Equal(t, tracked.Counts{tracked.Told: 1, tracked.Refused: 1}, since.Counts)

		g.Reopen()
		before, since, _ := g.Counts()
		assert.Equal(t, tracked.Counts{tracked.Told: round + 1, tracked.Refused: round + 1}, before, "what ended meanwhile ended before")
		assert.Zero(t, since)
		goes, ok = begin(&g)
		require.True(t, ok, "admitting again")
		select {
		case <-empty:
			t.Fatal("it was never empty")
		default:
		}
	}
	stays.End(tracked.Completed)
	_, empty := g.Close(nil)
	goes.End(tracked.Completed)
	<-empty
	before, _, _ := g.Counts()
	assert.Equal(t, tracked.Counts{tracked.Completed: 1, tracked.Told: 3, tracked.Refused: 3}, before)
}

// A response that is being registered as the registry closes is either among those that Close
// returns or refused.
func TestCloseRacesWithBegin(t *testing.T) {
	const workers, each = 4, 200
	for range 50 {
		var g tracked.Registry
		var admitted, refused atomic.Int64
		var mine sync.Map
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range each {
					r, ok := begin(&g)
					if !ok {
						refused.Add(1)
						continue
					}
					admitted.Add(1)
					if rand.IntN(2) == 0 {
						r.End(tracked.Completed)
					} else {
						mine.Store(r, true)
					}
				}
			})
		}
		closed, empty := g.Close(nil)
		wg.Wait()
		require.EqualValues(t, workers*each, admitted.Load()+refused.Load())
		_, since, _ := g.Counts()
		require.EqualValues(t, refused.Load(), since.Counts[tracked.Refused])
		given := make(map[*tracked.Response]bool)
		for _, r := range closed {
			given[r] = true
		}
		for _, r := range g.Open() {
			require.True(t, given[r], "open, and unknown to Close")
			r.End(tracked.Told)
		}
		<-empty
		before, since, _ := g.Counts()
		require.EqualValues(t, admitted.Load(), before[tracked.Completed]+since.Counts[tracked.Completed]+since.Counts[tracked.Told])
	}
}

func TestRegistryAdmitsLateOnesWhileOthersAreOpen(t *testing.T) {
	var changed []*tracked.Response
	g := tracked.Registry{OnChange: func(r *tracked.Response) { changed = append(changed, r) }}
	admitted := func(rule policy.Rule) *tracked.Response {
		r := new(tracked.Response)
		if !r.Begin(&g, request(context.Background()), &rule, nil) {
			return nil
		}
		return r
	}
	first := admitted(policy.Rule{})
	_, empty := g.Close(func(rule policy.Rule) bool { return rule.Grace == 0 })
	assert.Nil(t, admitted(policy.Rule{}))
	late := admitted(policy.Rule{Admit: true})
	require.NotNil(t, late)
	assert.Nil(t, admitted(policy.Rule{Admit: true, Grace: 1}), "its rule leaves it no time")
	assert.Equal(t, []*tracked.Response{late}, changed)

	task := new(tracked.Response)
	begin := func(ctx context.Context) bool {
		task = new(tracked.Response)
		return task.BeginTask(&g, ctx, "of a test", new(policy.Rule), nil)
	}
	assert.False(t, begin(context.Background()))
	assert.True(t, begin(late.Context()))
	assert.Equal(t, "task of a test", task.Route())
	assert.Equal(t, format.Task, task.Format())
	assert.Same(t, task, tracked.From(task.Context()))
	assert.Equal(t, []*tracked.Response{late, task}, changed)
	late.End(tracked.Completed)
	last := task
	assert.False(t, begin(late.Context()), "its response has ended")
	assert.True(t, begin(last.Context()))
	task.End(tracked.Completed)

	assert.ElementsMatch(t, []*tracked.Response{first, last}, g.AdmitNone())
	assert.Nil(t, admitted(policy.Rule{Admit: true}))
	first.End(tracked.Completed)
	last.End(tracked.Completed)
	<-empty
	g.Reopen()
	_, empty = g.Close(func(policy.Rule) bool { return true })
	<-empty
	assert.Nil(t, admitted(policy.Rule{Admit: true}), "none is open")
	_, since, _ := g.Counts()
	assert.Equal(t, tracked.Counts{tracked.Refused: 1}, since.Counts)
}
