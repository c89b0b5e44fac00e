package routers

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A source sets fields of a response's rule. Sources are ordered from the weakest to the strongest.
// Those from fromOutside to fromRoute are a Graceful at a place of a router.
type source int

const (
	fromDefault source = iota
	fromTable
	fromOutside
	fromRoot
	fromGroup
	fromSubgroup
	fromRoute
	fromHandler
	sources
)

func (v source) String() string {
	return [...]string{"the default", "the table", "outside", "the router", "the group", "the inner group", "the route", "the handler"}[v]
}

// rules has what each source sets. If it has no Graceful at any place, or if it has the table,
// there is a Graceful outside of the router all the same. From there the table's patterns match
// whatever the router does with the path.
type rules map[source]policy.Rule

// drainer returns a Drainer with the default and the table.
func (all rules) drainer(b policy.Budget) *middleware.Drainer {
	table := &policy.Mux{Default: all[fromDefault]}
	table.Handle(pattern, all[fromTable])
	return &middleware.Drainer{Policy: table, Budget: b}
}

// serve returns a router that serves a handler, with a Graceful for each source that is a place,
// and with rewrite around each place.
func (all rules) serve(d *middleware.Drainer, r router, rewrite wrap, h http.HandlerFunc) http.Handler {
	var l layers
	for p := outside; p < places; p++ {
		l[p] = append(l[p], rewrite)
		if rule, ok := all[fromOutside+source(p)]; ok {
			l[p] = append(l[p], middleware.Graceful(d, rule), rewrite)
		}
	}
	if all.needsOutside() {
		l[outside] = append([]wrap{middleware.Graceful(d)}, l[outside]...)
	}
	return l.wrap(outside, r.serve(l, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		stream.From(r.Context()).Refine(all[fromHandler])
		h(rw, r)
	})))
}

// needsOutside reports whether another Graceful has to be outside of the router.
func (all rules) needsOutside() bool {
	if _, ok := all[fromTable]; ok {
		_, outermost := all[fromOutside]
		return !outermost
	}
	for v := fromOutside; v <= fromRoute; v++ {
		if _, ok := all[v]; ok {
			return false
		}
	}
	return true
}

// rewrites are middleware that passes on another request than it got, but for the first.
var rewrites = []struct {
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

// ask serves one request.
func ask(t *testing.T, h http.Handler, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

// forEachRouter runs a test with every router and every way to copy a request.
func forEachRouter(t *testing.T, test func(t *testing.T, r router, rewrite wrap)) {
	t.Helper()
	for _, r := range routers {
		for _, c := range rewrites {
			t.Run(r.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				test(t, r, c.wrap)
			})
		}
	}
}

// longBudget is a budget that all rules of these tests fit.
var longBudget = policy.Budget{Total: time.Hour}
