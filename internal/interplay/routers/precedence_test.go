package routers

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

const eventStream = "text/event-stream"

// cases is who says what, and what comes of it.
var cases = []struct {
	name  string
	words words
	tags  []policy.Kind // what the handler tags it, one after the other
	shows string        // the handler's Content-Type; "": plain text
	want  policy.Rule
	kind  policy.Kind
}{
	{name: "nobody says anything", kind: policy.Finite},
	{name: "nobody says anything of an event stream", shows: eventStream, kind: policy.Infinite},

	// Kind: Tag, then the innermost rule, then the table, then the content type.
	{name: "the table knows a watch of JSON", words: words{theTable: {Kind: policy.Infinite}}, shows: "application/json",
		want: policy.Rule{Kind: policy.Infinite}, kind: policy.Infinite},
	{name: "the table over the default", words: words{theDefault: {Kind: policy.Infinite}, theTable: {Kind: policy.Finite}},
		want: policy.Rule{Kind: policy.Finite}, kind: policy.Finite},
	{name: "a rule from outside over the table", words: words{theTable: {Kind: policy.Infinite}, theOutside: {Kind: policy.Finite}},
		shows: eventStream, want: policy.Rule{Kind: policy.Finite}, kind: policy.Finite},
	{name: "the route over the group", words: words{theGroup: {Kind: policy.Finite}, theRoute: {Kind: policy.Infinite}},
		want: policy.Rule{Kind: policy.Infinite}, kind: policy.Infinite},
	{name: "Auto at the route is no word", words: words{theSubgroup: {Kind: policy.Finite}, theRoute: {Grace: time.Second}},
		shows: eventStream, want: policy.Rule{Kind: policy.Finite, Grace: time.Second}, kind: policy.Finite},
	{name: "the handler's rule over the route's", words: words{theRoute: {Kind: policy.Infinite}, theHandler: {Kind: policy.Finite}},
		want: policy.Rule{Kind: policy.Finite}, kind: policy.Finite},
	{name: "a tag over all rules", words: words{theTable: {Kind: policy.Infinite}, theRoute: {Kind: policy.Infinite}, theHandler: {Kind: policy.Infinite}},
		tags: []policy.Kind{policy.Finite}, shows: eventStream, want: policy.Rule{Kind: policy.Infinite}, kind: policy.Finite},
	{name: "a tag over the content type", tags: []policy.Kind{policy.Finite}, shows: eventStream, kind: policy.Finite},
	{name: "a tag that is taken back", words: words{theGroup: {Kind: policy.Infinite}},
		tags: []policy.Kind{policy.Finite, policy.Auto}, want: policy.Rule{Kind: policy.Infinite}, kind: policy.Infinite},

	// What counts as one, and what as many.
	{name: "a window is one field", words: words{
		theTable: {Reconnect: policy.Window{Min: 10 * time.Second, Max: 20 * time.Second}},
		theRoute: {Reconnect: policy.Window{Max: 2 * time.Second}},
	}, want: policy.Rule{Reconnect: policy.Window{Max: 2 * time.Second}}, kind: policy.Finite},
	{name: "a farewell is many", words: words{
		theDefault:  {Farewell: policy.Farewell{Code: 4000, Reason: "default", Message: "default", Event: "default", Data: "default"}},
		theTable:    {Farewell: policy.Farewell{Reason: "table", Message: "table", Event: "table", Data: "table"}},
		theOutside:  {Farewell: policy.Farewell{Message: "outside", Event: "outside", Data: "outside"}},
		theSubgroup: {Farewell: policy.Farewell{Event: "group", Data: "group"}},
		theHandler:  {Farewell: policy.Farewell{Data: "handler"}},
	}, want: policy.Rule{Farewell: policy.Farewell{Code: 4000, Reason: "table", Message: "outside", Event: "group", Data: "handler"}},
		kind: policy.Finite},
	{name: "a binary message goes with its bytes", words: words{
		theGroup: {Farewell: policy.Farewell{Message: "\xff", Binary: true}},
		theRoute: {Farewell: policy.Farewell{Code: 4001}},
	}, want: policy.Rule{Farewell: policy.Farewell{Code: 4001, Message: "\xff", Binary: true}}, kind: policy.Finite},
	{name: "and a text message without them", words: words{
		theGroup: {Farewell: policy.Farewell{Message: "\xff", Binary: true}},
		theRoute: {Farewell: policy.Farewell{Message: "bye"}},
	}, want: policy.Rule{Farewell: policy.Farewell{Message: "bye"}}, kind: policy.Finite},
	{name: "Random and priority 0 are no words", words: words{
		theTable: {Order: policy.OldestFirst, Priority: -3},
		theRoute: {Order: policy.Random, Priority: 0},
	}, want: policy.Rule{Order: policy.OldestFirst, Priority: -3}, kind: policy.Finite},
	{name: "a priority below zero is one", words: words{theOutside: {Priority: 9}, theRoute: {Priority: -9}},
		want: policy.Rule{Priority: -9}, kind: policy.Finite},

	// The times that stand for more than their length, and the rules with names.
	{name: "at once over a time", words: words{theTable: {Timeout: time.Minute, Spread: time.Minute}, theGroup: {Timeout: policy.AtOnce}},
		want: policy.Rule{Timeout: policy.AtOnce, Spread: time.Minute}, kind: policy.Finite},
	{name: "a time over at once", words: words{theTable: {Timeout: policy.AtOnce}, theRoute: {Timeout: time.Second}},
		want: policy.Rule{Timeout: time.Second}, kind: policy.Finite},
	{name: "to the end over a time", words: words{theOutside: {Grace: time.Second}, theHandler: {Grace: policy.ToTheEnd}},
		want: policy.Rule{Grace: policy.ToTheEnd}, kind: policy.Finite},
	{name: "at once over to the end", words: words{theGroup: {Grace: policy.ToTheEnd}, theRoute: {Grace: policy.AtOnce}},
		want: policy.Rule{Grace: policy.AtOnce}, kind: policy.Finite},
	{name: "leave alone over come back", words: words{theTable: policy.TellComeBack(), theRoute: policy.LeaveAlone()},
		want: policy.LeaveAlone().Over(policy.TellComeBack()), kind: policy.Infinite},
	{name: "come back over leave alone", words: words{theTable: policy.LeaveAlone(), theRoute: policy.TellComeBack()},
		want: policy.Rule{Kind: policy.Infinite, Grace: policy.ToTheEnd, Spread: 5 * time.Second, Timeout: policy.AtOnce, Mercy: policy.AtOnce,
			Farewell: policy.ComeBack()}, kind: policy.Infinite},
	{name: "stay away over come back", words: words{theOutside: policy.TellComeBack(), theSubgroup: policy.TellStayAway()},
		want: policy.TellStayAway(), kind: policy.Infinite},
	{name: "let finish over cut at once", words: words{theTable: policy.CutAtOnce(), theRoute: policy.LetFinish()},
		want: policy.LetFinish().Over(policy.CutAtOnce()), kind: policy.Finite},
	{name: "let finish by the handler over all of it", words: words{theTable: policy.TellComeBack(), theRoute: policy.TellStayAway(), theHandler: policy.LetFinish()},
		shows: eventStream, want: policy.LetFinish().Over(policy.TellStayAway()), kind: policy.Finite},
}

func TestCases(t *testing.T) {
	each(t, func(t *testing.T, r router, copying wrap) {
		for _, c := range cases {
			var rule policy.Rule
			var kind policy.Kind
			h := c.words.around(c.words.drainer(roomy), r, copying, func(w http.ResponseWriter, r *http.Request) {
				for _, k := range c.tags {
					stream.Tag(r.Context(), k)
				}
				if c.shows != "" {
					w.Header().Set("Content-Type", c.shows)
				}
				w.WriteHeader(http.StatusOK)
				_ = http.NewResponseController(w).Flush() // gin keeps its header back until something is written
				rule, kind = stream.From(r.Context()).Rule(), stream.From(r.Context()).Kind()
			})
			assert.Equal(t, http.StatusOK, ask(t, h, http.MethodGet, path).Code, c.name)
			assert.Equal(t, c.want, rule, c.name)
			assert.Equal(t, c.kind, kind, c.name)
		}
	})
}

// TestTableSeesWhatTheOutermostSees: from outside of the router its patterns are those that clients ask for, whatever the
// router does with prefixes. From inside they are what the router has left of them.
func TestTableSeesWhatTheOutermostSees(t *testing.T) {
	whole, stripped := policy.Rule{Grace: time.Minute}, policy.Rule{Grace: time.Second}
	each(t, func(t *testing.T, r router, copying wrap) {
		for v, want := range map[voice]policy.Rule{theOutside: whole, theRoot: whole, theSubgroup: whole, theRoute: whole} {
			if r.strips && v > theGroup {
				want = stripped
			}
			table := new(policy.Mux)
			table.Handle(pattern, whole)
			table.Handle(rest, stripped)
			d := &middleware.Drainer{Policy: table, Budget: roomy}
			var got policy.Rule
			h := words{v: {}}.around(d, r, copying, func(_ http.ResponseWriter, r *http.Request) {
				got = stream.From(r.Context()).Rule()
			})
			assert.Equal(t, http.StatusOK, ask(t, h, http.MethodGet, path).Code)
			assert.Equal(t, want, got, "the outermost Graceful is at %v", v)
		}
	})
}

// TestContextOfItsOwn: middleware that gives the request a context that isn't made from the one it had hides the response
// from all that is inside of it. What the handler says is lost, and another Graceful there begins anew. (In a router the
// path's own values would be lost too, which chi takes for a fault.)
func TestContextOfItsOwn(t *testing.T) {
	forgetting := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r.WithContext(context.WithValue(context.Background(), key{}, "user")))
		})
	}
	d := new(middleware.Drainer)
	graceful := middleware.Graceful(d)
	ask(t, graceful(forgetting(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		assert.Nil(t, stream.From(r.Context()))
		stream.Tag(r.Context(), policy.Infinite)
		assert.Equal(t, 1, d.Report().Open.Finite)
	}))), http.MethodGet, path)
	ask(t, graceful(forgetting(graceful(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		assert.NotNil(t, stream.From(r.Context()))
		assert.Equal(t, 2, d.Report().Open.All())
	})))), http.MethodGet, path)
	assert.EqualValues(t, 3, d.Report().Before.Completed)
}
