package middleware

import (
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// Graceful is middleware that puts every request's response under d:
//
//	http.Server{Handler: middleware.Graceful(d)(mux)}       // a whole server
//	r.Use(middleware.Graceful(d))                           // a router
//	r.With(middleware.Graceful(d, rule)).Get("/live", live) // one route
//
// The rules given, the first the strongest, stand above d.Policy, field by field. A response inside
// two of d's Gracefuls is tracked once, and the inner one's rules stand above the outer one's.
//
// Place it inside of what compresses bodies where you can: no farewell can be written into a
// compressed event stream, nor into a plain one if the compressor has set Content-Encoding before
// it calls Graceful. [http.TimeoutHandler] lets no stream through.
//
// Graceful panics when d is nil, when d.Check finds a fault, and when a given rule is invalid or
// can't fit d.Budget, laid over d.Policy where that is one rule for all. A rule that doesn't fit
// only over a [policy.Mux]'s or an outer Graceful's is shortened by the drain.
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
	base, isRule := d.Policy.(policy.Rule)
	whole := rule.Over(base)
	if err := errors.Join(whole.Validate(), d.Budget.Fit("given to Graceful", whole)); err != nil {
		panic(fmt.Errorf("middleware: Graceful: %w", err))
	}
	d.wrapped.Store(true) // or will be: a router may call what follows with each request only
	return func(next http.Handler) http.Handler {
		if next == nil {
			panic("middleware: Graceful was given a nil http.Handler to wrap")
		}
		g := &graceful{d: d, rule: rule, next: next}
		if isRule || d.Policy == nil {
			g.constant = &whole
		}
		return g
	}
}

type graceful struct {
	d        *Drainer
	rule     policy.Rule  // as given
	constant *policy.Rule // every request's, if all have the same
	next     http.Handler

	mu    sync.RWMutex
	rules map[policy.Rule]*policy.Rule // guarded by mu
}

func (g *graceful) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.refine(r) {
		g.next.ServeHTTP(w, r)
	} else if x := g.track(w, r); x != nil {
		x.run(g.next)
	}
}

// refine lays the rule over that of a response that an outer Graceful tracks, and reports whether
// one does. It and track are apart from ServeHTTP so that what they need doesn't lie on the stack
// of every open response.
func (g *graceful) refine(r *http.Request) bool {
	outer := tracked.From(r.Context())
	if !outer.In(&g.d.registry) {
		return false
	}
	outer.Refine(g.rule)
	return true
}

// track begins the request's response, or refuses it and returns nil.
func (g *graceful) track(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{d: g.d, w: w, outerEncodes: format.Encoded(w.Header()), declared: -1}
	x.req = *r.WithContext(x.Context())
	if r.Method == http.MethodConnect && format.WebSocketConnect(r) {
		x.connect = newH2WebSocket(x)
	}
	rule := g.ruleFor(r)
	if !x.Begin(&g.d.registry, r, rule, x) {
		g.d.refuse(w, r, *rule)
		return nil
	}
	return x
}

// maxRules bounds the rules that are kept to be shared. A policy gives out few different ones.
const maxRules = 1000

// ruleFor returns the request's rule. Responses with equal rules share one, to save memory.
func (g *graceful) ruleFor(r *http.Request) *policy.Rule {
	if g.constant != nil {
		return g.constant
	}
	rule := g.rule.Over(g.d.Policy.Rule(r))
	g.mu.RLock()
	shared := g.rules[rule]
	g.mu.RUnlock()
	if shared != nil {
		return shared
	}
	kept := rule // rule itself must not escape, which would cost every request an allocation
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.rules == nil || len(g.rules) >= maxRules {
		g.rules = make(map[policy.Rule]*policy.Rule)
	}
	g.rules[rule] = &kept
	return &kept
}
