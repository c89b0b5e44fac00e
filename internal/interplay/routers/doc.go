// Package routers shows which rule a response ends up with, whatever router stands around its handler: rules compose
// four ways (the Drainer's policy and its default, a Graceful at any place in a router, and the handler's own word), and
// http.ServeMux, chi, gin and echo must agree on all of them, with their groups, mounted routers and middleware that
// copies the request. It holds tests only, in a module of its own, so that nobody else needs what they need.
//
//	cd middleware/interplay && go test -race ./...
package routers
