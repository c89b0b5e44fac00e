package tracked_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// What a drain counts by the second ends with the hour, however long it goes on, and its farewells
// count once, however often they are asked for.
func TestDrainCountsBySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g tracked.Registry
		open := func() *tracked.Response {
			r := new(tracked.Response)
			require.True(t, r.Begin(&g, request(context.Background()), &policy.Rule{Kind: policy.Infinite}, nil))
			r.SetShape(policy.Infinite, format.SSE, "/stream")
			return r
		}
		early, late, last := open(), open(), open()
		early.AllowFarewell()
		require.True(t, early.BeginFarewell(), "before any drain")
		g.BeginCount()
		time.Sleep(1500 * time.Millisecond)
		late.AllowFarewell()
		for range 2 {
			require.True(t, late.BeginFarewell())
		}
		early.End(tracked.Told)
		late.End(tracked.Told)
		for range 2 {
			time.Sleep(2 * time.Hour)
			_ = open().End(tracked.Completed)
		}
		_, since, _ := g.Counts()
		assert.Equal(t, []int{0, 1}, since.ToldPerSecond)
		assert.Len(t, since.EndedPerSecond, 3600)
		assert.Equal(t, 2, since.EndedPerSecond[1])
		assert.Equal(t, 2, since.EndedPerSecond[3599])
		assert.EqualValues(t, 2, since.Arrived)
		stream := tracked.Group{Pattern: "/stream", Rule: policy.Rule{Kind: policy.Infinite}, Kind: policy.Infinite, Format: format.SSE}
		assert.Equal(t, map[tracked.Group]tracked.Counts{stream: {tracked.Told: 2, tracked.Completed: 2}}, since.Groups)

		since.Groups[stream] = tracked.Counts{}
		last.End(tracked.Cut)
		_, again, _ := g.Counts()
		assert.EqualValues(t, 2, again.Groups[stream][tracked.Told], "what Counts returned is a copy")
	})
}
