package policy

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"reflect"
	"runtime"
	"strings"
)

// A conditional is a route with a condition. It has a table of its own, since several may have one
// pattern.
type conditional struct {
	*route
	holds func(*http.Request) bool
	alone Mux
}

// HandleIf sets the rule of the requests that match pattern and for which condition returns true:
// those with some header, say, or that ws.Requested reports. Such a rule comes before those of
// Handle, however specific their patterns are, and of several the one that was given first does.
// The pattern "/" is for all paths.
//
// condition is called for each request, whatever its path, before the handler and by many
// goroutines at once. It must not block, nor change the request or read its body. HandleIf panics
// where Handle does, but its patterns conflict with none.
func (m *Mux) HandleIf(pattern string, condition func(*http.Request) bool, r Rule) {
	if condition == nil {
		panic(fmt.Errorf("policy: route %q has a nil condition; use Handle", pattern))
	}
	c := &conditional{route: &route{pattern: pattern, condition: functionName(condition), rule: r}, holds: condition}
	m.mustTake(c.route)
	if problem := c.alone.tryHandle(c.route); problem != "" {
		panic(errors.New("policy: " + problem))
	}
	m.cases = append(m.cases, c)
}

// matches reports whether c's rule is for req.
func (c *conditional) matches(req *http.Request) bool {
	if !c.holds(req) {
		return false
	}
	h, _ := c.alone.mux.Handler(req)
	return h == http.Handler(c.route)
}

// all returns the routes with a condition and those without, in the order in which Rule looks at
// them.
func (m *Mux) all() []*route {
	all := make([]*route, 0, len(m.cases)+len(m.routes))
	for _, c := range m.cases {
		all = append(all, c.route)
	}
	return append(all, m.routes...)
}

// functionName returns the name of a function, as in "ws.Requested", for people.
func functionName(f any) string {
	name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	return strings.TrimSuffix(path.Base(name), "-fm") // of a method value
}
