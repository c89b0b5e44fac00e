package policy

import (
	"fmt"
	"net/http"
	"path"
	"reflect"
	"runtime"
	"strings"
)

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
	added := &route{pattern: pattern, condition: condition, rule: r}
	m.mustBeValid(added)
	added.alone.Handle(pattern, added)
	m.conditionals = append(m.conditionals, added)
}

// holds reports whether r, which has a condition, is for req.
func (r *route) holds(req *http.Request) bool {
	if !r.condition(req) {
		return false
	}
	h, _ := r.alone.Handler(req)
	return h == http.Handler(r)
}

// functionName returns the name of a function, as in "ws.Requested", for people.
func functionName(f any) string {
	name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	return strings.TrimSuffix(path.Base(name), "-fm") // of a method value
}
