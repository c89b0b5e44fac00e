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
	mux    http.ServeMux
	routes []*route // in the order of Handle
	sealed sync.Once
}

// A route is the handler that carries a rule through http.ServeMux.
type route struct {
	pattern string
	rule    Rule
}

func (*route) ServeHTTP(http.ResponseWriter, *http.Request) {}

// Handle gives the requests that match pattern the rule r. It panics where [http.ServeMux.Handle] does, on a pattern that
// can't be parsed or that conflicts with an earlier one, and on a rule that is not valid. It is for start-up: it must not
// be called once requests are looked up.
func (m *Mux) Handle(pattern string, r Rule) {
	if err := joined(fmt.Sprintf("policy: route %q: ", pattern), r.faults()); err != nil {
		panic(err)
	}
	at := &route{pattern, r}
	m.mux.Handle(pattern, at)
	m.routes = append(m.routes, at)
}

// Rule returns the rule of the pattern that req matches best, and the zero Rule where none matches or ServeMux would
// redirect. It does not change req, so it may be called before the application's own router sees the request. Many
// goroutines may call it at once.
func (m *Mux) Rule(req *http.Request) Rule {
	if m == nil {
		return Rule{}
	}
	m.sealed.Do(m.seal)
	h, _ := m.mux.Handler(req)
	if at, ok := h.(*route); ok {
		return at.rule
	}
	return Rule{}
}

// seal gives the zero Rule to what no pattern matches. It would have it anyway, but ServeMux takes twice as long to find
// nothing, since it then collects the methods that would have been allowed; and in a table of streams, nothing is what
// most requests match.
func (m *Mux) seal() {
	// Where the application has said what to do with the rest, "/" conflicts, and isn't needed.
	defer func() { _ = recover() }()
	m.mux.Handle("/", &route{pattern: "/"})
}

// Check reports every route whose rule doesn't fit b, in the order of Handle, joined. See [Budget.Fit].
func (m *Mux) Check(b Budget) error {
	if m == nil {
		return nil
	}
	errs := make([]error, len(m.routes))
	for i, at := range m.routes {
		errs[i] = b.Fit(at.pattern, at.rule)
	}
	return errors.Join(errs...)
}
