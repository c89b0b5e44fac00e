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
// for concurrent use; Rule, Check and Explain may be called concurrently after that. A Mux must not
// be copied after first use.
type Mux struct {
	// Default lies under the rule of every route, field by field, and is the whole rule of requests
	// that no pattern matches. It must not change once Rule has been called.
	Default Rule

	mux       http.ServeMux
	routes    []*route       // in the order of Handle
	cases     []*conditional // in the order of HandleIf
	defaultAt position       // where Default is written
	seal      sync.Once
	sealed    bool // Rule has been called
}

// A route is a handler that never serves: it carries a rule through http.ServeMux.
type route struct {
	pattern   string
	condition string // its name; empty for none
	rule      Rule
	at        position
	whole     Rule // rule over the Mux's Default; set once the Mux is sealed
}

func (*route) ServeHTTP(http.ResponseWriter, *http.Request) {}

// String returns the pattern and the condition.
func (r *route) String() string {
	return r.pattern + unlessZero(r.condition, " if "+r.condition)
}

// Handle sets the rule of the requests that match pattern. It panics where [http.ServeMux.Handle]
// does, on a pattern that can't be parsed or that conflicts with an earlier one, on the wildcards
// of other routers, such as /rooms/:id, which ServeMux takes for plain text, on a rule that is not
// valid, and once Rule has been called: to change a table that is in use, replace it as a whole in
// a [Swap].
func (m *Mux) Handle(pattern string, r Rule) {
	at := &route{pattern: pattern, rule: r}
	m.mustTake(at)
	// ServeMux's own panic would say that both patterns were registered here, in this file.
	if problem := m.tryHandle(at); problem != "" {
		panic(errors.New("policy: " + problem))
	}
}

// mustTake panics if r can't be in m whatever else is.
func (m *Mux) mustTake(r *route) {
	if err := joinFaults(fmt.Sprintf("policy: route %q: ", r.pattern), r.rule.faults()); err != nil {
		panic(err)
	}
	if m.sealed {
		panic(fmt.Errorf("policy: route %q comes after the first request; give it before, or store a new Mux in a Swap", r.pattern))
	}
}

func (m *Mux) handle(r *route) {
	m.mux.Handle(r.pattern, r)
	m.routes = append(m.routes, r)
}

// tryHandle is handle but returns a description of what is wrong instead of panicking.
func (m *Mux) tryHandle(r *route) (problem string) {
	if problem = foreign(r.pattern); problem != "" {
		return problem
	}
	if panicOf(func() { m.handle(r) }) == nil {
		return ""
	}
	if invalid := panicOf(func() { new(http.ServeMux).Handle(r.pattern, r) }); invalid != nil {
		return fmt.Sprintf("route %q: %v", r.pattern, invalid)
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
	m.seal.Do(m.close)
	for _, c := range m.cases {
		if c.matches(req) {
			return c.whole
		}
	}
	h, _ := m.mux.Handler(req)
	if r, ok := h.(*route); ok {
		return r.whole
	}
	return m.Default // ServeMux would redirect, or reply 404 or 405
}

// close ends the time for Handle and computes the rules that Rule returns.
func (m *Mux) close() {
	m.sealed = true
	for _, r := range m.all() {
		r.whole = r.rule.Over(m.Default)
	}
	// Without a catch-all, ServeMux would look at all other methods for each request that matches
	// nothing. It conflicts where the application has a catch-all of its own, and isn't needed
	// then.
	catchAll := &route{pattern: "/", whole: m.Default}
	_ = panicOf(func() { m.mux.Handle(catchAll.pattern, catchAll) })
}

// Check returns what is wrong with the rules as one error, or nil: what is not valid, and what
// doesn't fit b. It names the routes in the order of HandleIf and Handle. See [Budget.Fit]; a
// route's need includes the time that rules with a higher Priority take first.
func (m *Mux) Check(b Budget) error {
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
	routes := m.all()
	rules := []Rule{m.Default}
	for _, r := range routes {
		rules = append(rules, r.rule.Over(m.Default))
	}
	wait := waits(rules)
	var all []fault
	for i, r := range routes {
		all = append(all, faultsAt(r.at, "", b.unfit(r.String(), rules[i+1], wait[i+1]))...)
	}
	return append(all, faultsAt(m.defaultAt, "", b.unfit("", m.Default, wait[0]))...)
}

// MarshalJSON implements [json.Marshaler]: it writes the table as a [File] without a budget. It
// fails where there is a HandleIf, whose condition a file can't hold.
func (m *Mux) MarshalJSON() ([]byte, error) {
	if len(m.cases) > 0 {
		return nil, fmt.Errorf("policy: route %q has a condition, which can't be written as JSON; set it in the program", m.cases[0])
	}
	f := File{Default: m.Default, Routes: map[string]Rule{}}
	for _, r := range m.routes {
		f.Routes[r.pattern] = r.rule
	}
	return json.Marshal(f)
}
