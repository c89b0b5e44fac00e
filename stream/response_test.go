package stream_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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

// Other responses may have the same rule.
func TestRefineLeavesASharedRuleAlone(t *testing.T) {
	var g stream.Registry
	var one, other stream.Entry
	shared := policy.Rule{Spread: time.Second}
	one.Track(&g, request(context.Background()), &shared, nil)
	other.Track(&g, request(context.Background()), &shared, nil)
	one.Refine(policy.Rule{Grace: time.Minute})
	assert.Equal(t, policy.Rule{Grace: time.Minute, Spread: time.Second}, one.Rule())
	assert.Equal(t, policy.Rule{Spread: time.Second}, other.Rule())
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
	stream.Tag(e.Context(), policy.Infinite+1)
	assert.Equal(t, policy.Finite, e.Kind(), "it is no kind")
	assert.Equal(t, "GET /events", e.Route())
	assert.Equal(t, stream.SSE, e.Protocol())
}

// A rule that no start-up has seen may say what can't be sent, and so may a handler.
func TestFarewellIsTheBestThatCanBeSent(t *testing.T) {
	good, bad := policy.Farewell{Code: 4000}, policy.Farewell{Code: 1006, Message: "lost"}
	for name, c := range map[string]struct {
		rule policy.Farewell
		own  *policy.Farewell
		want policy.Farewell
		left []string
	}{
		"the rule's":                {good, nil, good, nil},
		"a bad rule's":              {bad, nil, policy.Farewell{}, []string{"stream: the rule's: policy: close code 1006"}},
		"its own":                   {good, &policy.Farewell{Code: 4001}, policy.Farewell{Code: 4001}, nil},
		"a bad one of its own":      {good, &bad, good, []string{"stream: the handler's own: policy: close code 1006"}},
		"its own over a bad rule's": {bad, &policy.Farewell{Code: 4001}, policy.Farewell{Code: 4001, Message: "lost"}, nil},
		"two bad ones":              {bad, &bad, policy.Farewell{}, []string{"the handler's own", "the rule's"}},
	} {
		t.Run(name, func(t *testing.T) {
			e, _ := track(t, context.Background())
			e.Refine(policy.Rule{Farewell: c.rule})
			if c.own != nil {
				e.OnFarewell(func(time.Duration) policy.Farewell { return *c.own })
			}
			got, err := e.Farewell(time.Second)
			assert.Equal(t, c.want, got)
			if c.left == nil {
				assert.NoError(t, err)
			}
			for _, why := range c.left {
				assert.ErrorContains(t, err, why)
			}
		})
	}
}

// Once planned, a response whose kind changes is reported, and only then.
func TestOnChange(t *testing.T) {
	var changes int
	g, e := new(stream.Registry), new(stream.Entry)
	g.OnChange = func(changed *stream.Entry) {
		assert.Same(t, e, changed)
		changes++
	}
	e.Track(g, request(context.Background()), new(policy.Rule), nil)
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

// A stream that is to end by its age is reported as soon as it is known for one, and
// an end that is watched.
func TestOnChangeOfAgeAndEnd(t *testing.T) {
	var changes int
	g := &stream.Registry{OnChange: func(*stream.Entry) { changes++ }}
	aged := policy.Rule{MaxAge: time.Hour}
	finite, found, ruled, late := new(stream.Entry), new(stream.Entry), new(stream.Entry), new(stream.Entry)
	finite.Track(g, request(context.Background()), &aged, nil)
	found.Track(g, request(context.Background()), &aged, nil)
	late.Track(g, request(context.Background()), new(policy.Rule), nil)
	finite.Settle(policy.Finite, stream.HTTP, "")
	late.Settle(policy.Infinite, stream.SSE, "")
	assert.Zero(t, changes)
	found.Settle(policy.Infinite, stream.SSE, "")
	assert.Equal(t, 1, changes, "by its header")
	infinite := policy.Rule{Kind: policy.Infinite}.Over(aged)
	ruled.Track(g, request(context.Background()), &infinite, nil)
	assert.Equal(t, 2, changes, "by its rule")
	late.Refine(aged)
	assert.Equal(t, 3, changes, "by what its handler says")
	found.Tag(policy.Finite)
	assert.Equal(t, 4, changes, "it is none any more")

	assert.True(t, ruled.Watch())
	ruled.End(stream.Told)
	assert.Equal(t, 5, changes)
	o, ended := ruled.Outcome()
	assert.True(t, ended)
	assert.Equal(t, stream.Told, o)
	late.End(stream.Completed)
	assert.Equal(t, 5, changes, "nobody watches")
	assert.False(t, late.Watch())
}

func TestOutcomes(t *testing.T) {
	var o stream.Outcomes
	for _, one := range []stream.Outcome{stream.Told, stream.Cut, stream.Told, stream.Completed, stream.Unanswered, stream.Cancelled, stream.Refused} {
		o.Add(one)
	}
	assert.Equal(t, stream.Outcomes{Completed: 1, Told: 2, Unanswered: 1, Cancelled: 1, Cut: 1, Refused: 1}, o)
	assert.EqualValues(t, 7, o.All())
}

func TestAgeAndIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, l := new(stream.Entry), new(link)
		e.Track(new(stream.Registry), request(t.Context()), new(policy.Rule), l)
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
	assert.Equal(t, "Outcome(99)", stream.Outcome(99).String())
	assert.Equal(t, "websocket", stream.WebSocket.String())
	assert.Equal(t, "Protocol(99)", stream.Protocol(99).String())
	for p := stream.HTTP; p <= stream.Parts; p++ {
		text, err := p.MarshalText()
		require.NoError(t, err)
		var same stream.Protocol
		require.NoError(t, same.UnmarshalText(text))
		assert.Equal(t, p, same)
	}
	protocol := stream.SSE
	require.EqualError(t, protocol.UnmarshalText([]byte("gopher")),
		`stream: protocol "gopher" is unknown; use one of http, sse, websocket, hijacked, lines, parts`)
	assert.Equal(t, stream.SSE, protocol)
	_, err := stream.Protocol(99).MarshalText()
	require.EqualError(t, err, "stream: protocol 99 is unknown; use one of http, sse, websocket, hijacked, lines, parts")
}
