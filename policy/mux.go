package policy

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
)

// A Mux is a [Policy] by route: it finds a request's rule by the patterns and the precedence of [http.ServeMux]. It only
// looks requests up and serves none, so the application's own router may be any. The zero Mux is ready to use and gives
// every request the zero Rule.
//
// A Mux must not be copied after first use.
type Mux struct {
	// Default lies under the rule of every route, field by field, and is the whole rule of what no pattern matches. It
	// must not change once requests are looked up.
	Default Rule

	mux       http.ServeMux
	routes    []*route // in the order of Handle
	defaultAt place
	sealed    sync.Once
	inUse     bool // since then
}

// A route is the handler that carries a rule through http.ServeMux.
type route struct {
	pattern string
	rule    Rule
	at      place
	whole   Rule // rule over the table's Default, once sealed
}

func (*route) ServeHTTP(http.ResponseWriter, *http.Request) {}

// Handle gives the requests that match pattern the rule r. It panics where [http.ServeMux.Handle] does, on a pattern that
// can't be parsed or that conflicts with an earlier one, and on a rule that is not valid. It is for start-up, and panics
// once a request has been looked up: a table that is to change while it is in use is replaced as a whole, by a [Swap].
func (m *Mux) Handle(pattern string, r Rule) {
	if err := joined(fmt.Sprintf("policy: route %q: ", pattern), r.faults()); err != nil {
		panic(err)
	}
	if m.inUse {
		panic(fmt.Errorf("policy: route %q comes after the first request; give it before, or store a new Mux in a Swap", pattern))
	}
	// ServeMux would say that both patterns were registered here, in this file.
	if problem := m.try(&route{pattern: pattern, rule: r}); problem != "" {
		panic(errors.New("policy: " + problem))
	}
}

func (m *Mux) handle(at *route) {
	m.mux.Handle(at.pattern, at)
	m.routes = append(m.routes, at)
}

// Rule returns the rule of the pattern that req matches best, over m.Default, and m.Default alone
// where none matches or ServeMux would redirect. It does not change req, so it may be called before
// the application's own router sees the request. Many goroutines may call it at once.
func (m *Mux) Rule(req *http.Request) Rule {
	if m == nil {
		return Rule{}
	}
	m.sealed.Do(m.seal)
	h, _ := m.mux.Handler(req)
	if at, ok := h.(*route); ok {
		return at.whole
	}
	return m.Default // ServeMux would redirect, or answer that there is nothing or not with this method
}

// seal works out the rules as they are handed out.
func (m *Mux) seal() {
	m.inUse = true
	for _, at := range m.routes {
		at.whole = at.rule.Over(m.Default)
	}
	// What no pattern matches is found sooner than ServeMux makes out whether another method would
	// match. Where the application has such a pattern of its own this one conflicts, and isn't needed.
	rest := &route{pattern: "/", whole: m.Default}
	_ = panicOf(func() { m.mux.Handle(rest.pattern, rest) })
}

// Check reports what is wrong with m.Default, and every route whose rule over it isn't valid or doesn't fit b, in the
// order of Handle, joined. See [Budget.Fit]; here the time counts too that rules with a higher Priority may take first.
func (m *Mux) Check(b Budget) error {
	if m == nil {
		return nil
	}
	return joinedAt(append(m.faults(), m.misfits(b)...))
}

// faults are what is wrong with the rules in themselves.
func (m *Mux) faults() []fault {
	if own := m.Default.faults(); len(own) > 0 {
		return faultsAt(m.defaultAt, "the rule for every route: ", own) // and not once more for each route
	}
	var all []fault
	for _, at := range m.routes {
		all = append(all, faultsAt(at.at, fmt.Sprintf("route %q: ", at.pattern), at.rule.Over(m.Default).faults())...)
	}
	return all
}

func (m *Mux) misfits(b Budget) []fault {
	rules := []Rule{m.Default}
	for _, at := range m.routes {
		rules = append(rules, at.rule.Over(m.Default))
	}
	lead := leads(rules)
	var all []fault
	for i, at := range m.routes {
		all = append(all, faultsAt(at.at, "", b.misfits(at.pattern, rules[i+1], lead[i+1]))...)
	}
	return append(all, faultsAt(m.defaultAt, "", b.misfits("", m.Default, lead[0]))...)
}
