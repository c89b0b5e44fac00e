package tracked_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

func TestDrainingIsClosed(t *testing.T) {
	for name, before := range map[string]bool{"asked before": true, "asked after": false} {
		t.Run(name, func(t *testing.T) {
			r, _ := track(t, context.Background())
			var told <-chan struct{}
			if before {
				told = r.Draining()
				select {
				case <-told:
					t.Error("told before it was")
				default:
				}
			}
			r.CloseDraining()
			r.CloseDraining()
			if !before {
				told = r.Draining()
			}
			<-told
			assert.NoError(t, r.Context().Err(), "told is not canceled")
		})
	}
}

// Other responses may have the same rule.
func TestRefineLeavesASharedRuleAlone(t *testing.T) {
	var g tracked.Registry
	var one, other tracked.Response
	shared := policy.Rule{Spread: time.Second}
	one.Begin(&g, request(context.Background()), &shared, nil)
	other.Begin(&g, request(context.Background()), &shared, nil)
	one.Refine(policy.Rule{Grace: time.Minute})
	assert.Equal(t, policy.Rule{Grace: time.Minute, Spread: time.Second}, one.Rule())
	assert.Equal(t, policy.Rule{Spread: time.Second}, other.Rule())
}

func TestKindIsTheStrongestWord(t *testing.T) {
	r, _ := track(t, context.Background())
	assert.Equal(t, policy.Auto, r.Kind())
	r.SetShape(policy.Infinite, format.SSE, "GET /events")
	assert.Equal(t, policy.Infinite, r.Kind())
	r.Refine(policy.Rule{Kind: policy.Finite})
	assert.Equal(t, policy.Finite, r.Kind())
	r.Tag(policy.Infinite)
	assert.Equal(t, policy.Infinite, r.Kind())
	r.Tag(policy.Auto)
	assert.Equal(t, policy.Finite, r.Kind(), "taken back")
	r.Tag(policy.Infinite + 1)
	assert.Equal(t, policy.Finite, r.Kind(), "it is no kind")
	assert.Equal(t, "GET /path (pattern GET /events)", r.Route())
	assert.Equal(t, format.SSE, r.Format())
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
			r, _ := track(t, context.Background())
			r.Refine(policy.Rule{Farewell: c.rule})
			if c.own != nil {
				r.OnFarewell(func(time.Duration) policy.Farewell { return *c.own })
			}
			got, err := r.FarewellFor(time.Second)
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

// Once its plan is published, a response whose kind changes is reported, and only then.
func TestOnChange(t *testing.T) {
	var changes int
	g, r := new(tracked.Registry), new(tracked.Response)
	g.OnChange = func(changed *tracked.Response) {
		assert.Same(t, r, changed)
		changes++
	}
	r.Begin(g, request(context.Background()), new(policy.Rule), nil)
	r.Tag(policy.Finite)
	assert.Zero(t, changes, "nobody has planned it")
	at := time.Now()
	r.Plan(tracked.Moments{Farewell: at, Cancel: at, Cut: at.Add(time.Second)})
	r.Tag(policy.Auto)
	assert.Zero(t, changes, "the plan is not published")
	r.Tag(policy.Finite)
	m, _ := r.Moments()
	r.Publish(m)
	r.Tag(policy.Infinite)
	assert.Equal(t, 1, changes)
	r.Tag(policy.Infinite)
	r.SetShape(policy.Finite, format.HTTP, "")
	assert.Equal(t, 1, changes, "its kind is the same as before")
	m, published := r.Moments()
	assert.True(t, published)
	assert.Equal(t, at, m.Cancel)
}

// A stream that is to end by its age is reported as soon as it is known for one, and
// an end that is watched.
func TestOnChangeOfAgeAndEnd(t *testing.T) {
	var changes int
	g := &tracked.Registry{OnChange: func(*tracked.Response) { changes++ }}
	aged := policy.Rule{MaxAge: time.Hour}
	finite, found, ruled, late := new(tracked.Response), new(tracked.Response), new(tracked.Response), new(tracked.Response)
	finite.Begin(g, request(context.Background()), &aged, nil)
	found.Begin(g, request(context.Background()), &aged, nil)
	late.Begin(g, request(context.Background()), new(policy.Rule), nil)
	finite.SetShape(policy.Finite, format.HTTP, "")
	late.SetShape(policy.Infinite, format.SSE, "")
	assert.Zero(t, changes)
	found.SetShape(policy.Infinite, format.SSE, "")
	assert.Equal(t, 1, changes, "by its header")
	infinite := policy.Rule{Kind: policy.Infinite}.Over(aged)
	ruled.Begin(g, request(context.Background()), &infinite, nil)
	assert.Equal(t, 2, changes, "by its rule")
	late.Refine(aged)
	assert.Equal(t, 3, changes, "by what its handler says")
	found.Tag(policy.Finite)
	assert.Equal(t, 4, changes, "it is none any more")

	assert.True(t, ruled.WatchEnd())
	ruled.End(tracked.Told)
	assert.Equal(t, 5, changes)
	o, ended := ruled.Outcome()
	assert.True(t, ended)
	assert.Equal(t, tracked.Told, o)
	late.End(tracked.Completed)
	assert.Equal(t, 5, changes, "nobody watches")
	assert.False(t, late.WatchEnd())
}

func TestAgeAndIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c := new(tracked.Response), new(carrier)
		r.Begin(new(tracked.Registry), request(t.Context()), new(policy.Rule), c)
		time.Sleep(time.Minute)
		assert.Equal(t, time.Minute, r.Idle(), "nothing has moved yet")
		c.last = time.Now()
		time.Sleep(time.Second)
		assert.Equal(t, time.Minute+time.Second, r.Age())
		assert.Equal(t, time.Second, r.Idle())
	})
}

// carrier is a Carrier on which only the last byte is of interest.
type carrier struct {
	tracked.Carrier
	last time.Time
}

func (c *carrier) LastByte() time.Time { return c.last }
