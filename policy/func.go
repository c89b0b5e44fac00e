package policy

import "net/http"

// A Func is a [Policy] that decides for each request. It must not block, and many goroutines call
// it at once. Its rules are unknown until then: [Check] can't say whether they fit, nor [Explain]
// what they are, as they can of those of [Mux.HandleIf].
type Func func(*http.Request) Rule

// Rule returns f(req).
func (f Func) Rule(req *http.Request) Rule { return f(req) }
