// Package routers tests which rule a response has, whatever router stands around its handler. A
// rule is made of what several sources set: the Drainer's policy and its default, a Graceful at any
// place in a router, and the handler itself. http.ServeMux, chi, gin and echo have to agree on the
// result, with groups, mounted routers and middleware that copies the request. It holds tests only.
package routers
