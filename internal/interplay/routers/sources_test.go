package routers

import (
	"cmp"
	"context"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A voice is one that may say what rule a response has, from the weakest to the strongest. A place's is its Graceful.
type voice int

const (
	theDefault voice = iota
	theTable
	theOutside
	theRoot
	theGroup
	theSubgroup
	theRoute
	theHandler
	voices
)

func (v voice) String() string {
	return [...]string{"the default", "the table", "outside", "the router", "the group", "the group in it", "the route", "the handler"}[v]
}

// words is who says what. Where no place has a word, or the table has, a Graceful stands outside in any case: from there
// the table's patterns match whatever the router makes of a path.
type words map[voice]policy.Rule

// drainer is one with the default and the table in it.
func (w words) drainer(b policy.Budget) *middleware.Drainer {
	table := &policy.Mux{Default: w[theDefault]}
	table.Handle(pattern, w[theTable])
	return &middleware.Drainer{Policy: table, Budget: b}
}

// around has a router serve a handler, with the words said and copying between all places.
func (w words) around(d *middleware.Drainer, r router, copying wrap, h http.HandlerFunc) http.Handler {
	var l layers
	for p := outside; p < places; p++ {
		l[p] = append(l[p], copying)
		if rule, said := w[theOutside+voice(p)]; said {
			l[p] = append(l[p], middleware.Graceful(d, rule), copying)
		}
	}
	if w.needsOutside() {
		l[outside] = append([]wrap{middleware.Graceful(d)}, l[outside]...)
	}
	return l.around(outside, r.serve(l, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		stream.From(r.Context()).Refine(w[theHandler])
		h(rw, r)
	})))
}

func (w words) needsOutside() bool {
	if _, said := w[theTable]; said {
		_, outermost := w[theOutside]
		return !outermost
	}
	for v := theOutside; v <= theRoute; v++ {
		if _, said := w[v]; said {
			return false
		}
	}
	return true
}

// copying is middleware that hands on another request than it got.
var copying = []struct {
	name string
	wrap wrap
}{
	{"the request itself", func(h http.Handler) http.Handler { return h }},
	{"WithContext", func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, "user")))
		})
	}},
	{"Clone, with a deadline", func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
			defer cancel()
			h.ServeHTTP(w, r.Clone(ctx))
		})
	}},
}

type key struct{}

// ask sends one request without a drain.
func ask(t *testing.T, h http.Handler, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

// each runs a test with every router and every way to copy a request.
func each(t *testing.T, test func(t *testing.T, r router, copying wrap)) {
	t.Helper()
	for _, r := range routers {
		for _, c := range copying {
			t.Run(r.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				test(t, r, c.wrap)
			})
		}
	}
}

// roomy is a budget that all rules of these tests fit.
var roomy = policy.Budget{Total: time.Hour}

// TestInnermostWinsFieldByField has each field of a rule said by each of the 256 sets of voices once, every field by
// another set at a time. The strongest that says something about a field is heard on it, and nobody else.
func TestInnermostWinsFieldByField(t *testing.T) {
	fields := []func(r *policy.Rule, v voice){ // says what only that voice would, or for want of values its neighbours wouldn't
		func(r *policy.Rule, v voice) { r.Kind = policy.Finite + policy.Kind(v%2) },
		func(r *policy.Rule, v voice) { r.Grace = time.Minute + time.Duration(v) },
		func(r *policy.Rule, v voice) { r.Spread = time.Minute + time.Duration(v) },
		func(r *policy.Rule, v voice) { r.Order = policy.OldestFirst + policy.Order(v%3) },
		func(r *policy.Rule, v voice) { r.Priority = cmp.Or(int(v)-3, 100) },
		func(r *policy.Rule, v voice) { r.Timeout = time.Minute + time.Duration(v) },
		func(r *policy.Rule, v voice) { r.Mercy = time.Minute + time.Duration(v) },
		func(r *policy.Rule, v voice) { r.MaxAge = time.Minute + time.Duration(v) },
		func(r *policy.Rule, v voice) {
			r.Reconnect = policy.Window{Min: time.Duration(v) * time.Second, Max: time.Minute}
		},
		func(r *policy.Rule, v voice) { r.Farewell.Code = 4000 + int(v) },
		func(r *policy.Rule, v voice) { r.Farewell.Reason = "reason of " + v.String() },
		func(r *policy.Rule, v voice) { r.Farewell.Message, r.Farewell.Binary = "of "+v.String(), v%2 == 0 },
		func(r *policy.Rule, v voice) { r.Farewell.Event = "event of " + v.String() },
		func(r *policy.Rule, v voice) { r.Farewell.Data = "data of " + v.String() },
	}
	var full policy.Rule
	for _, says := range fields {
		says(&full, theOutside)
	}
	for _, all := range []reflect.Value{reflect.ValueOf(full), reflect.ValueOf(full.Farewell)} {
		for i := range all.NumField() {
			require.False(t, all.Field(i).IsZero(), "%v.%s is among the fields", all.Type(), all.Type().Field(i).Name)
		}
	}
	each(t, func(t *testing.T, r router, copying wrap) {
		for round := range 1 << voices {
			said, want := words{}, policy.Rule{}
			for i, says := range fields {
				set := round*(2*i+1) + 37*i // modulo 256 another one each round, since the factor is odd
				for v := range voices {
					if set>>v&1 == 1 {
						rule := said[v]
						says(&rule, v)
						said[v] = rule
						says(&want, v) // the last is the strongest
					}
				}
			}
			d := said.drainer(roomy)
			var got policy.Rule
			var kind policy.Kind
			var open int
			h := said.around(d, r, copying, func(_ http.ResponseWriter, r *http.Request) {
				got, kind = stream.From(r.Context()).Rule(), stream.From(r.Context()).Kind()
				open = d.Report().Open.All()
			})
			assert.Equal(t, http.StatusOK, ask(t, h, http.MethodGet, path).Code)
			assert.Equal(t, want, got, "said %v", said)
			assert.Equal(t, want.Kind, kind, "said %v", said)
			assert.Equal(t, 1, open, "tracked once, and no more often than that")
			assert.EqualValues(t, 1, d.Report().Before.Completed)
			if t.Failed() {
				return
			}
		}
	})
}
