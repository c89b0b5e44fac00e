package middleware

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// Graceful is middleware that has d track every request's response, and end it:
//
//	http.Server{Handler: middleware.Graceful(d)(mux)}       // a whole server
//	r.Use(middleware.Graceful(d))                           // a router
//	r.With(middleware.Graceful(d, rule)).Get("/live", live) // one route
//
// Each field of a response's rule is that of the first of the given rules that sets it, else that
// of d.Policy. A response inside two of d's Gracefuls is tracked once; the inner one's rules come
// first.
//
// Place it inside of what compresses bodies where you can: no farewell can be written into a
// compressed event stream, nor into a plain one if the compressor has set Content-Encoding before
// it calls Graceful. [http.TimeoutHandler] lets no stream through.
//
// Graceful panics when d is nil, when d.Check finds a fault, and when a given rule is invalid or
// can't fit d.Budget, over d.Policy where that is one rule for all. A rule that only together with
// one of a [policy.Mux] or of an outer Graceful doesn't fit is shortened by the drain.
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
	merged := rule.Over(base)
	if err := errors.Join(merged.Validate(), d.Budget.Fit("given to Graceful", merged)); err != nil {
		panic(fmt.Errorf("middleware: Graceful: %w", err))
	}
	d.wrapped.Store(true) // now, since a router may call the function below only when a request comes
	return func(next http.Handler) http.Handler {
		if next == nil {
			panic("middleware: Graceful was given a nil http.Handler to wrap")
		}
		d.noteHandler(next)
		g := &graceful{d: d, rule: rule, next: next}
		if isRule || d.Policy == nil {
			g.constant = &merged
		}
		return g
	}
}

type graceful struct {
	d        *Drainer
	rule     policy.Rule  // the rules given to Graceful, as one
	constant *policy.Rule // the rule of every request; nil: d.Policy decides for each
	next     http.Handler

	mu     sync.Mutex
	shared map[policy.Rule]*policy.Rule // guarded by mu; see ruleFor
}

func (g *graceful) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.refineOuter(w, r) {
		g.next.ServeHTTP(w, r)
	} else if x := g.track(w, r); x != nil {
		x.run(g.next)
	}
}

// refineOuter reports whether an outer Graceful tracks the response, and lays the rule over its own
// if so. It and track are not inside ServeHTTP, where their variables would take up room on the
// stack of every open response.
func (g *graceful) refineOuter(w http.ResponseWriter, r *http.Request) bool {
	outer := tracked.From(r.Context())
	if outer == nil || !writesTo(w, outer) {
		return false
	}
	if !outer.In(&g.d.registry) {
		g.d.warnNested.Do(func() {
			g.d.log(slog.LevelWarn, "two Drainers are around one handler, and each ends its responses: clients may be told twice; "+
				"give both Gracefuls the same Drainer", "path", outer.Request().URL.Path)
		})
		return false
	}
	if x, ok := outer.Carrier().(*exchange); ok && g.rule.Kind == policy.Infinite {
		x.noteRequest(r, g.rule.Kind)
	}
	outer.Refine(g.rule)
	if r.Pattern != "" {
		outer.SetPattern(r.Pattern)
	}
	return true
}

// track begins the request's response, or refuses it and returns nil.
func (g *graceful) track(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{d: g.d, w: w, outerEncodes: format.Encoded(w.Header()), missing: unknownLength}
	x.req = *r.WithContext(x.Context())
	if r.ContentLength != 0 {
		x.req.Body = x.bodyFor(r)
	}
	if r.Method == http.MethodConnect && format.WebSocketConnect(r) {
		x.connect = newH2WebSocket(x)
	}
	rule := g.ruleFor(r)
	if r.Method == http.MethodPost || rule.Kind == policy.Infinite {
		x.noteRequest(r, rule.Kind)
	}
	if g.d.closingConns.Load() && onClosingConn(r) {
		g.d.registry.Refuse(r, rule)
		g.d.observeUnentered(r, rule)
		g.d.refuse(w, r, *rule)
		return nil
	}
	if !x.Begin(&g.d.registry, r, rule, x) {
		g.d.observeEnd(&x.Response, tracked.Refused)
		g.d.refuse(w, r, *rule)
		return nil
	}
	return x
}

// maxShared is how many rules are kept to be shared. Few policies have more different ones.
const maxShared = 1000

// ruleFor returns the request's rule. Responses with equal rules share one, to save memory.
func (g *graceful) ruleFor(r *http.Request) *policy.Rule {
	if g.constant != nil {
		return g.constant
	}
	rule := g.rule.Over(g.d.Policy.Rule(r))
	g.mu.Lock()
	defer g.mu.Unlock()
	if equal := g.shared[rule]; equal != nil {
		return equal
	}
	kept := rule // if rule itself escaped, every request would cost an allocation
	if g.shared == nil || len(g.shared) >= maxShared {
		g.shared = make(map[policy.Rule]*policy.Rule)
	}
	g.shared[rule] = &kept
	return &kept
}
