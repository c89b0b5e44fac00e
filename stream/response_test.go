package stream_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// Everything that a handler asks is harmless where nothing is tracked.
func TestUntracked(t *testing.T) {
	ctx := context.Background()
	assert.Nil(t, stream.From(ctx))
	assert.Nil(t, stream.Draining(ctx))
	_, ok := stream.Deadline(ctx)
	assert.False(t, ok)
	stream.Tag(ctx, policy.Finite)
	var r *stream.Response
	assert.Equal(t, policy.Auto, r.Kind())
	assert.Equal(t, stream.HTTP, r.Protocol())
	assert.Empty(t, r.Route())
	assert.Zero(t, r.Age())
	assert.Zero(t, r.Began())
	assert.Zero(t, r.Idle())
	assert.False(t, r.TrackedBy(nil))
	r.Refine(policy.Rule{Kind: policy.Finite})
	assert.Zero(t, r.Rule())
}

func TestDrainingIsClosedByTell(t *testing.T) {
	for name, before := range map[string]bool{"asked before": true, "asked after": false} {
		t.Run(name, func(t *testing.T) {
			e, _ := track(t, context.Background())
			var told <-chan struct{}
			if before {
				told = stream.Draining(e.Context())
				select {
				case <-told:
					t.Error("told before it was")
				default:
				}
			}
			e.Tell()
			e.Tell()
			if !before {
				told = stream.Draining(e.Context())
			}
			<-told
			assert.NoError(t, e.Context().Err(), "told is not cancelled")
		})
	}
}

func TestKindIsTheStrongestWord(t *testing.T) {
	e, _ := track(t, context.Background())
	assert.Equal(t, policy.Auto, e.Kind())
	e.Settle(policy.Infinite, stream.SSE, "GET /events")
	assert.Equal(t, policy.Infinite, e.Kind())
	e.Refine(policy.Rule{Kind: policy.Finite})
	assert.Equal(t, policy.Finite, e.Kind())
	stream.Tag(e.Context(), policy.Infinite)
	assert.Equal(t, policy.Infinite, e.Kind())
	stream.Tag(e.Context(), policy.Auto)
	assert.Equal(t, policy.Finite, e.Kind(), "taken back")
	assert.Equal(t, "GET /events", e.Route())
	assert.Equal(t, stream.SSE, e.Protocol())
}

// Once planned, a response whose kind changes is reported, and only then.
func TestOnChange(t *testing.T) {
	var changes int
	g, e := new(stream.Registry), new(stream.Entry)
	g.OnChange = func(changed *stream.Entry) {
		assert.Same(t, e, changed)
		changes++
	}
	e.Track(g, request(context.Background()), policy.Rule{}, nil)
	e.Tag(policy.Finite)
	assert.Zero(t, changes, "nobody has planned it")
	at := time.Now()
	e.Plan(at, at.Add(time.Second))
	e.Tag(policy.Infinite)
	assert.Equal(t, 1, changes)
	e.Tag(policy.Infinite)
	e.Settle(policy.Finite, stream.HTTP, "")
	assert.Equal(t, 1, changes, "its kind is the same as before")
	cancel, ok := e.Deadline()
	assert.True(t, ok)
	assert.Zero(t, cancel.Sub(at))
	assert.Equal(t, time.Second, e.CutAt().Sub(at))
}

func TestAgeAndIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, l := new(stream.Entry), new(link)
		e.Track(new(stream.Registry), request(t.Context()), policy.Rule{}, l)
		time.Sleep(time.Minute)
		assert.Equal(t, time.Minute, e.Idle(), "nothing has moved yet")
		l.last = time.Now()
		time.Sleep(time.Second)
		assert.Equal(t, time.Minute+time.Second, e.Age())
		assert.Equal(t, time.Second, e.Idle())
	})
}

// link is a link on which only the last byte is of interest.
type link struct {
	stream.Link
	last time.Time
}

func (l *link) LastByte() time.Time { return l.last }

func TestWords(t *testing.T) {
	assert.Equal(t, "told", stream.Told.String())
	assert.Equal(t, "refused", stream.Refused.String())
	assert.Equal(t, "unknown", stream.Outcome(99).String())
	assert.Equal(t, "websocket", stream.WebSocket.String())
	assert.Equal(t, "unknown", stream.Protocol(99).String())
}
