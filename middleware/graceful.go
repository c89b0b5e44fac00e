package middleware

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/sse"
	"github.com/lastcall-go/lastcall/stream"
)

// Graceful is middleware that puts every request's response under d:
//
//	http.Server{Handler: middleware.Graceful(d)(mux)}       // a whole server
//	r.Use(middleware.Graceful(d))                           // a router
//	r.With(middleware.Graceful(d, rule)).Get("/live", live) // one route
//
// The rules given, the first the strongest, stand above d.Policy, field by
// field. Nested, a response is tracked once, and the rules of the innermost
// Graceful stand above those around it.
//
// Place it inside of what compresses bodies where you can: into a compressed
// event stream no farewell can be written. A compressor that sets
// Content-Encoding before it calls us, which some do, hides the plain stream
// from us all the same. [http.TimeoutHandler] lets no stream through.
//
// It panics when d is nil, when d.Check finds a fault, and when a given rule is
// invalid or can't fit d.Budget: all of these can be known at start-up, and none
// of them should wait for the drain. A given rule is looked at alone, and over
// d.Policy where that is one rule for all. What it comes to over a route's of a
// [policy.Mux], or over that of a Graceful around, is known only with the request:
// where that doesn't fit, the drain squeezes it.
func Graceful(d *Drainer, rules ...policy.Rule) func(http.Handler) http.Handler {
	if d == nil {
		panic("middleware: Graceful was given a nil *Drainer; give it &middleware.Drainer{}")
	}
	d.init()
	if err := d.Check(); err != nil {
		panic(fmt.Errorf("middleware: Graceful: %w", err))
	}
	var rule policy.Rule
	for _, r := range rules {
		rule = rule.Over(r)
	}
	base, same := d.Policy.(policy.Rule)
	whole := rule.Over(base)
	if err := errors.Join(whole.Validate(), d.Budget.Fit("given to Graceful", whole)); err != nil {
		panic(fmt.Errorf("middleware: Graceful: %w", err))
	}
	d.wraps.Store(true) // or will: a router may call what follows with each request only
	return func(next http.Handler) http.Handler {
		if next == nil {
			panic("middleware: Graceful was given a nil http.Handler to wrap")
		}
		g := &graceful{d: d, rule: rule, next: next}
		if same || d.Policy == nil {
			g.whole = &whole
		}
		return g
	}
}

type graceful struct {
	d     *Drainer
	rule  policy.Rule  // as given
	whole *policy.Rule // every request's, if they have all the same
	next  http.Handler

	writers seen
}

func (g *graceful) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.refine(r) {
		g.next.ServeHTTP(w, r)
		return
	}
	inside, has := g.writers.typeOf(w, r)
	if x := g.track(w, inside, r); x != nil {
		x.run(g.next, has)
	}
}

// refine lays the rule over that of a response that is tracked already.
func (g *graceful) refine(r *http.Request) bool {
	tracked := stream.From(r.Context())
	if !tracked.TrackedBy(&g.d.registry) {
		return false
	}
	tracked.Refine(g.rule)
	return true
}

// ruleOf returns the request's rule.
func (g *graceful) ruleOf(r *http.Request) *policy.Rule {
	if g.whole != nil {
		return g.whole
	}
	var rule policy.Rule
	if g.d.Policy != nil {
		rule = g.d.Policy.Rule(r)
	}
	if g.rule != (policy.Rule{}) {
		rule = g.rule.Over(rule)
	}
	return &rule
}

// track enters the request's response, or refuses it and gives nil. It is apart
// from ServeHTTP so that what it needs doesn't lie on the stack of every open
// response.
func (g *graceful) track(w http.ResponseWriter, inside inner, r *http.Request) *exchange {
	rule := g.ruleOf(r)
	if inside == innerForeign && len(w.Header()) > 0 && sse.Encoded(w.Header()) {
		inside = innerEncoding
	}
	x := &exchange{d: g.d, w: w, inside: inside, declared: -1}
	x.req = *r.WithContext(x.Context())
	if !x.Track(&g.d.registry, r, rule, x.link()) {
		g.d.refuse(w, r, *rule)
		return nil
	}
	return x
}
