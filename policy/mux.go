package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// A Mux is a [Policy] by route: it finds a request's rule by the patterns and the precedence of
// [http.ServeMux], and by conditions of your own ([Mux.HandleIf]). It serves nothing, so the
// application may use any router. The zero Mux is ready to use and gives every request the zero
// Rule, and so does a nil one.
//
// Handle, HandleIf and changes of Default are for start-up, before the first request, and not safe
// for concurrent use; Rule, [Check] and [Explain] may be called concurrently after that. A Mux must
// not be copied after first use.
type Mux struct {
	// Default lies under the rule of every route, field by field, and is the whole rule of requests
	// that no pattern matches. It must not change once Rule has been called.
	Default Rule

	mux          http.ServeMux // of routes
	routes       []*route      // in the order of Handle
	conditionals []*route      // in the order of HandleIf
	defaultAt    position      // where Default is written
	seal         sync.Once
	sealed       bool // Rule has been called
}

// A route is a pattern and its rule, which it carries through [http.ServeMux]: it is a handler that
// never serves.
type route struct {
	pattern string
	rule    Rule
	at      position // where they are written
	whole   Rule     // rule over the Mux's Default; set once the Mux is sealed

	condition func(*http.Request) bool // nil: none
	alone     http.ServeMux            // of a route with a condition, since several may have one pattern
}

func (*route) ServeHTTP(http.ResponseWriter, *http.Request) {}

// String returns the pattern, and the name of the condition.
func (r *route) String() string {
	if r.condition == nil {
		return r.pattern
	}
	return r.pattern + " if " + functionName(r.condition)
}

// all returns the routes in the order in which Rule looks at them.
func (m *Mux) all() []*route { return slices.Concat(m.conditionals, m.routes) }

// Handle sets the rule of the requests that match pattern. It panics where [http.ServeMux.Handle]
// does, on a pattern that can't be parsed or that conflicts with an earlier one, on the wildcards
// of other routers, such as /rooms/:id, which ServeMux takes for plain text, on a rule that is not
// valid, and once Rule has been called: to change a table that is in use, replace it as a whole in
// a [Swap].
func (m *Mux) Handle(pattern string, r Rule) {
	added := &route{pattern: pattern, rule: r}
	m.mustBeValid(added)
	if problem := m.handle(added); problem != "" {
		panic(errors.New("policy: " + problem))
	}
}

// mustBeValid panics if r can't be in m, whatever else is.
func (m *Mux) mustBeValid(r *route) {
	if err := joinFaults(fmt.Sprintf("policy: route %q: ", r.pattern), r.rule.faults()); err != nil {
		panic(err)
	}
	if m.sealed {
		panic(fmt.Errorf("policy: route %q comes after the first request; give it before, or store a new Mux in a Swap", r.pattern))
	}
	if problem := patternProblem(r.pattern); problem != "" {
		panic(errors.New("policy: " + problem))
	}
}

// patternProblem describes what is wrong with a pattern by itself. It returns the empty string if
// nothing is.
func patternProblem(pattern string) string {
	if problem := foreignProblem(pattern); problem != "" {
		return problem
	}
	if invalid := panicOf(func() { new(http.ServeMux).Handle(pattern, new(route)) }); invalid != nil {
		return fmt.Sprintf("route %q: %v", pattern, invalid)
	}
	return ""
}

// handle adds r, whose pattern is valid. If that conflicts with another one, it describes that and
// adds nothing.
func (m *Mux) handle(r *route) (problem string) {
	// ServeMux's own panic would say that both patterns were registered here, in this file.
	if panicOf(func() { m.mux.Handle(r.pattern, r) }) == nil {
		m.routes = append(m.routes, r)
		return ""
	}
	other := m.routes[slices.IndexFunc(m.routes, func(other *route) bool {
		var both http.ServeMux
		both.Handle(other.pattern, other)
		return panicOf(func() { both.Handle(r.pattern, r) }) != nil
	})]
	where := unlessZero(other.at, fmt.Sprintf(" on line %d", other.at.line))
	return fmt.Sprintf("route %q conflicts with %q%s: they match some of the same requests, and neither is the more specific; change one",
		r.pattern, other.pattern, where)
}

func panicOf(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

// Rule returns the rule of the first HandleIf that is for req, else that of the pattern that
// matches req best, put over m.Default, and m.Default alone where no pattern matches or ServeMux
// would redirect. It doesn't change req, so it may be called before the application's own router
// sees the request.
func (m *Mux) Rule(req *http.Request) Rule {
	if m == nil {
		return Rule{}
	}
	m.seal.Do(m.computeRules)
	for _, r := range m.conditionals {
		if r.holds(req) {
			return r.whole
		}
	}
	h, _ := m.mux.Handler(req)
	if r, ok := h.(*route); ok {
		return r.whole
	}
	return m.Default // ServeMux would redirect, or reply 404 or 405
}

// computeRules seals m and computes the rules that Rule returns.
func (m *Mux) computeRules() {
	m.sealed = true
	for _, r := range m.all() {
		r.whole = r.rule.Over(m.Default)
	}
	// A catch-all saves time: without one, ServeMux looks for each request that matches nothing
	// whether another method would. It conflicts where the application has a catch-all of its own,
	// and isn't needed then.
	catchAll := &route{pattern: "/", whole: m.Default}
	_ = panicOf(func() { m.mux.Handle(catchAll.pattern, catchAll) })
}

// check returns what is wrong with the rules as one error, or nil: what is not valid, and what
// doesn't fit b.
func (m *Mux) check(b Budget) error {
	if m == nil {
		return nil
	}
	return joinFaultsAt(append(m.faults(), m.unfit(b)...))
}

// faults returns what is wrong with the rules whatever the budget.
func (m *Mux) faults() []fault {
	if own := m.Default.faults(); len(own) > 0 {
		// Each route would repeat it.
		return faultsAt(m.defaultAt, "the rule for every route: ", own)
	}
	var all []fault
	for _, r := range m.all() {
		all = append(all, faultsAt(r.at, fmt.Sprintf("route %q: ", r), r.rule.Over(m.Default).faults())...)
	}
	return all
}

// unfit returns which rules don't fit the budget.
func (m *Mux) unfit(b Budget) []fault {
	routes := append(m.all(), &route{rule: m.Default, at: m.defaultAt}) // which has no pattern
	rules := make([]Rule, len(routes))
	for i, r := range routes {
		rules[i] = r.rule.Over(m.Default)
	}
	var all []fault
	for i, wait := range waits(rules) {
		all = append(all, faultsAt(routes[i].at, "", b.unfit(routes[i].String(), rules[i], wait))...)
	}
	return all
}

// MarshalJSON implements [json.Marshaler]: it writes the table as a [File] without a budget. It
// fails where there is a HandleIf, whose condition a file can't hold.
func (m *Mux) MarshalJSON() ([]byte, error) {
	if len(m.conditionals) > 0 {
		return nil, fmt.Errorf("policy: route %q has a condition, which can't be written as JSON; set it in the program", m.conditionals[0])
	}
	f := File{Default: m.Default, Routes: map[string]Rule{}}
	for _, r := range m.routes {
		f.Routes[r.pattern] = r.rule
	}
	return json.Marshal(f)
}
