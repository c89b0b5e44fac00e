package routers

import (
	"cmp"
	"context"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

const eventStream = "text/event-stream"

// precedences are what sources set, and the rule and kind that have to result.
var precedences = []struct {
	name  string
	rules rules
	tags  []policy.Kind // what the handler tags the response as, one after the other
	shows string        // the handler's Content-Type, empty for plain text
	want  policy.Rule
	kind  policy.Kind
}{
	{name: "nothing is set", kind: policy.Finite},
	{name: "nothing is set for an event stream", shows: eventStream, kind: policy.Infinite},

	// Kind: Tag, then the innermost rule, then the table, then the content type.
	{name: "the table knows a watch of JSON", rules: rules{fromTable: {Kind: policy.Infinite}}, shows: "application/json",
		want: policy.Rule{Kind: policy.Infinite}, kind: policy.Infinite},
	{name: "the table over the default", rules: rules{fromDefault: {Kind: policy.Infinite}, fromTable: {Kind: policy.Finite}},
		want: policy.Rule{Kind: policy.Finite}, kind: policy.Finite},
	{name: "a rule from outside over the table", rules: rules{fromTable: {Kind: policy.Infinite}, fromOutside: {Kind: policy.Finite}},
		shows: eventStream, want: policy.Rule{Kind: policy.Finite}, kind: policy.Finite},
	{name: "the route over the group", rules: rules{fromGroup: {Kind: policy.Finite}, fromRoute: {Kind: policy.Infinite}},
		want: policy.Rule{Kind: policy.Infinite}, kind: policy.Infinite},
	{name: "Auto at the route sets nothing", rules: rules{fromSubgroup: {Kind: policy.Finite}, fromRoute: {Grace: time.Second}},
		shows: eventStream, want: policy.Rule{Kind: policy.Finite, Grace: time.Second}, kind: policy.Finite},
	{name: "the handler's rule over the route's", rules: rules{fromRoute: {Kind: policy.Infinite}, fromHandler: {Kind: policy.Finite}},
		want: policy.Rule{Kind: policy.Finite}, kind: policy.Finite},
	{name: "a tag over all rules", rules: rules{fromTable: {Kind: policy.Infinite}, fromRoute: {Kind: policy.Infinite}, fromHandler: {Kind: policy.Infinite}},
		tags: []policy.Kind{policy.Finite}, shows: eventStream, want: policy.Rule{Kind: policy.Infinite}, kind: policy.Finite},
	{name: "a tag over the content type", tags: []policy.Kind{policy.Finite}, shows: eventStream, kind: policy.Finite},
	{name: "a tag that is taken back", rules: rules{fromGroup: {Kind: policy.Infinite}},
		tags: []policy.Kind{policy.Finite, policy.Auto}, want: policy.Rule{Kind: policy.Infinite}, kind: policy.Infinite},

	// What counts as one field, and what as several.
	{name: "a window is one field", rules: rules{
		fromTable: {Reconnect: policy.Window{Min: 10 * time.Second, Max: 20 * time.Second}},
		fromRoute: {Reconnect: policy.Window{Max: 2 * time.Second}},
	}, want: policy.Rule{Reconnect: policy.Window{Max: 2 * time.Second}}, kind: policy.Finite},
	{name: "a farewell is several", rules: rules{
		fromDefault:  {Farewell: policy.Farewell{Code: 4000, Reason: "default", Message: "default", Event: "default", Data: "default"}},
		fromTable:    {Farewell: policy.Farewell{Reason: "table", Message: "table", Event: "table", Data: "table"}},
		fromOutside:  {Farewell: policy.Farewell{Message: "outside", Event: "outside", Data: "outside"}},
		fromSubgroup: {Farewell: policy.Farewell{Event: "group", Data: "group"}},
		fromHandler:  {Farewell: policy.Farewell{Data: "handler"}},
	}, want: policy.Rule{Farewell: policy.Farewell{Code: 4000, Reason: "table", Message: "outside", Event: "group", Data: "handler"}},
		kind: policy.Finite},
	{name: "a binary message goes with its bytes", rules: rules{
		fromGroup: {Farewell: policy.Farewell{Message: "\xff", Binary: true}},
		fromRoute: {Farewell: policy.Farewell{Code: 4001}},
	}, want: policy.Rule{Farewell: policy.Farewell{Code: 4001, Message: "\xff", Binary: true}}, kind: policy.Finite},
	{name: "a text message goes without them", rules: rules{
		fromGroup: {Farewell: policy.Farewell{Message: "\xff", Binary: true}},
		fromRoute: {Farewell: policy.Farewell{Message: "bye"}},
	}, want: policy.Rule{Farewell: policy.Farewell{Message: "bye"}}, kind: policy.Finite},
	{name: "Random and priority 0 set nothing", rules: rules{
		fromTable: {Order: policy.OldestFirst, Priority: -3},
		fromRoute: {Order: policy.Random, Priority: 0},
	}, want: policy.Rule{Order: policy.OldestFirst, Priority: -3}, kind: policy.Finite},
	{name: "a priority below zero is set", rules: rules{fromOutside: {Priority: 9}, fromRoute: {Priority: -9}},
		want: policy.Rule{Priority: -9}, kind: policy.Finite},

	// The times that mean more than their length, and the named rules.
	{name: "at once over a time", rules: rules{fromTable: {Timeout: time.Minute, Spread: time.Minute}, fromGroup: {Timeout: policy.AtOnce}},
		want: policy.Rule{Timeout: policy.AtOnce, Spread: time.Minute}, kind: policy.Finite},
	{name: "a time over at once", rules: rules{fromTable: {Timeout: policy.AtOnce}, fromRoute: {Timeout: time.Second}},
		want: policy.Rule{Timeout: time.Second}, kind: policy.Finite},
	{name: "to the end over a time", rules: rules{fromOutside: {Grace: time.Second}, fromHandler: {Grace: policy.ToTheEnd}},
		want: policy.Rule{Grace: policy.ToTheEnd}, kind: policy.Finite},
	{name: "at once over to the end", rules: rules{fromGroup: {Grace: policy.ToTheEnd}, fromRoute: {Grace: policy.AtOnce}},
		want: policy.Rule{Grace: policy.AtOnce}, kind: policy.Finite},
	{name: "leave alone over come back", rules: rules{fromTable: policy.TellComeBack(), fromRoute: policy.LeaveAlone()},
		want: policy.LeaveAlone().Over(policy.TellComeBack()), kind: policy.Infinite},
	{name: "come back over leave alone", rules: rules{fromTable: policy.LeaveAlone(), fromRoute: policy.TellComeBack()},
		want: policy.Rule{Kind: policy.Infinite, Grace: policy.ToTheEnd, Spread: 5 * time.Second, Timeout: policy.AtOnce, Mercy: policy.AtOnce,
			Farewell: policy.ComeBack()}, kind: policy.Infinite},
	{name: "stay away over come back", rules: rules{fromOutside: policy.TellComeBack(), fromSubgroup: policy.TellStayAway()},
		want: policy.TellStayAway(), kind: policy.Infinite},
	{name: "let finish over cut at once", rules: rules{fromTable: policy.CutAtOnce(), fromRoute: policy.LetFinish()},
		want: policy.LetFinish().Over(policy.CutAtOnce()), kind: policy.Finite},
	{name: "let finish by the handler over all of it", rules: rules{fromTable: policy.TellComeBack(), fromRoute: policy.TellStayAway(), fromHandler: policy.LetFinish()},
		shows: eventStream, want: policy.LetFinish().Over(policy.TellStayAway()), kind: policy.Finite},
}

// TestPrecedence checks the rule and the kind that result from all sources.
func TestPrecedence(t *testing.T) {
	forEachRouter(t, func(t *testing.T, r router, rewrite wrap) {
		for _, c := range precedences {
			var rule policy.Rule
			var kind policy.Kind
			h := c.rules.serve(c.rules.drainer(longBudget), r, rewrite, func(w http.ResponseWriter, r *http.Request) {
				for _, k := range c.tags {
					stream.Tag(r.Context(), k)
				}
				if c.shows != "" {
					w.Header().Set("Content-Type", c.shows)
				}
				w.WriteHeader(http.StatusOK)
				_ = http.NewResponseController(w).Flush() // gin holds the header back until something is written
				rule, kind = stream.From(r.Context()).Rule(), stream.From(r.Context()).Kind()
			})
			assert.Equal(t, http.StatusOK, ask(t, h, http.MethodGet, path).Code, c.name)
			assert.Equal(t, c.want, rule, c.name)
			assert.Equal(t, c.kind, kind, c.name)
		}
	})
}

// TestStrongestSourceWins sets each field of a rule by each of the 256 sets of sources. Every
// request has another set for every field. The strongest source that sets a field has to win, for
// that field alone.
func TestStrongestSourceWins(t *testing.T) {
	// Each function sets a field to the source's own value. Where there are too few values, the
	// source next to it has another.
	fields := []func(r *policy.Rule, v source){
		func(r *policy.Rule, v source) { r.Kind = policy.Finite + policy.Kind(v%2) },
		func(r *policy.Rule, v source) { r.Grace = time.Minute + time.Duration(v) },
		func(r *policy.Rule, v source) { r.Spread = time.Minute + time.Duration(v) },
		func(r *policy.Rule, v source) { r.Order = policy.OldestFirst + policy.Order(v%3) },
		func(r *policy.Rule, v source) { r.Priority = cmp.Or(int(v)-3, 100) },
		func(r *policy.Rule, v source) { r.Timeout = time.Minute + time.Duration(v) },
		func(r *policy.Rule, v source) { r.Mercy = time.Minute + time.Duration(v) },
		func(r *policy.Rule, v source) { r.MaxAge = time.Minute + time.Duration(v) },
		func(r *policy.Rule, v source) {
			r.Reconnect = policy.Window{Min: time.Duration(v) * time.Second, Max: time.Minute}
		},
		func(r *policy.Rule, v source) { r.Farewell.Code = 4000 + int(v) },
		func(r *policy.Rule, v source) { r.Farewell.Reason = "reason of " + v.String() },
		func(r *policy.Rule, v source) { r.Farewell.Message, r.Farewell.Binary = "of "+v.String(), v%2 == 0 },
		func(r *policy.Rule, v source) { r.Farewell.Event = "event of " + v.String() },
		func(r *policy.Rule, v source) { r.Farewell.Data = "data of " + v.String() },
		func(r *policy.Rule, v source) { r.Farewell.Send = policy.SendRetry + policy.Send(v%2) },
		func(r *policy.Rule, v source) { r.Format = policy.EventsFormat + policy.Format(v%4) },
		func(r *policy.Rule, v source) { r.Ending = policy.CleanEnding + policy.Ending(v%2) },
		func(r *policy.Rule, _ source) { r.Admit = true }, // no source can take it back
	}
	var full policy.Rule
	for _, set := range fields {
		set(&full, fromOutside)
	}
	for _, all := range []reflect.Value{reflect.ValueOf(full), reflect.ValueOf(full.Farewell)} {
		for i := range all.NumField() {
			require.False(t, all.Field(i).IsZero(), "%v.%s is among the fields", all.Type(), all.Type().Field(i).Name)
		}
	}
	forEachRouter(t, func(t *testing.T, r router, rewrite wrap) {
		for round := range 1 << sources {
			all, want := rules{}, policy.Rule{}
			for i, set := range fields {
				chosen := round*(2*i+1) + 37*i // each of 256 sets once, since the factor is odd
				for v := range sources {
					if chosen>>v&1 == 1 {
						rule := all[v]
						set(&rule, v)
						all[v] = rule
						set(&want, v) // the last source is the strongest
					}
				}
			}
			d := all.drainer(longBudget)
			var got policy.Rule
			var kind policy.Kind
			var open int
			h := all.serve(d, r, rewrite, func(_ http.ResponseWriter, r *http.Request) {
				got, kind = stream.From(r.Context()).Rule(), stream.From(r.Context()).Kind()
				open = d.Report().Open.All()
			})
			assert.Equal(t, http.StatusOK, ask(t, h, http.MethodGet, path).Code)
			assert.Equal(t, want, got, "%v", all)
			assert.Equal(t, want.Kind, kind, "%v", all)
			assert.Equal(t, 1, open, "tracked once only")
			assert.EqualValues(t, 1, d.Report().Before.Completed)
			if t.Failed() {
				return
			}
		}
	})
}

// TestTableMatchesOutermostPath checks which path the patterns of a table match: that of the
// outermost Graceful. Outside of the router it is the path that the client asks for. Inside it is
// what the router has left of that.
func TestTableMatchesOutermostPath(t *testing.T) {
	whole, stripped := policy.Rule{Grace: time.Minute}, policy.Rule{Grace: time.Second}
	forEachRouter(t, func(t *testing.T, r router, rewrite wrap) {
		for v, want := range map[source]policy.Rule{fromOutside: whole, fromRoot: whole, fromSubgroup: whole, fromRoute: whole} {
			if r.strips && v > fromGroup {
				want = stripped
			}
			table := new(policy.Mux)
			table.Handle(pattern, whole)
			table.Handle(rest, stripped)
			d := &middleware.Drainer{Policy: table, Budget: longBudget}
			var got policy.Rule
			h := rules{v: {}}.serve(d, r, rewrite, func(_ http.ResponseWriter, r *http.Request) {
				got = stream.From(r.Context()).Rule()
			})
			assert.Equal(t, http.StatusOK, ask(t, h, http.MethodGet, path).Code)
			assert.Equal(t, want, got, "the outermost Graceful is at %v", v)
		}
	})
}

// TestUnrelatedContext has middleware give the request a context that is not derived from the one
// that it had, which hides the response from all that is inside of it. What the handler sets is
// lost, and another Graceful there tracks another response. (In a router the values of the path
// would be lost too, which chi takes for an error.)
func TestUnrelatedContext(t *testing.T) {
	unrelated := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r.WithContext(context.WithValue(context.Background(), key{}, "user")))
		})
	}
	d := new(middleware.Drainer)
	graceful := middleware.Graceful(d)
	ask(t, graceful(unrelated(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		assert.Nil(t, stream.From(r.Context()))
		stream.Tag(r.Context(), policy.Infinite)
		assert.Equal(t, 1, d.Report().Open.Finite)
	}))), http.MethodGet, path)
	ask(t, graceful(unrelated(graceful(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		assert.NotNil(t, stream.From(r.Context()))
		assert.Equal(t, 2, d.Report().Open.All())
	})))), http.MethodGet, path)
	assert.EqualValues(t, 3, d.Report().Before.Completed)
}
