// Package interplay is the root of a module of tests: lastcall together with other people's code.
// It is a module of its own so that nobody who uses lastcall needs what these tests need.
//
//   - websocket: WebSocket libraries for Go, and the clients that browsers and Node.js bring along
//   - sse: event stream libraries, and what may stand around them: routers, proxies, compressors
//   - routers: which rule a response has, under http.ServeMux, chi, gin and echo
//   - browsers: Chromium, curl and Go's client, in front of whole servers
//   - causes: what the errors of libraries let a handler know of its response's end
//   - recipes: code to copy, for routers, supervisors and platforms, each with a drain through it
//
// Run all of it, one package after the other, since many of them measure time:
//
//	cd internal/interplay && go test -race -p 1 ./...
//
// The doc.go of each folder says what it needs, and names the environment variables that make it do
// more.
package interplay
