// Package sse shows what other people's event streams make of lastcall, and lastcall of them: the libraries that a
// handler may use, under the routers, proxies and compressors that may stand around them, each drained at any moment in
// front of a client that forgives nothing. It holds tests only, in a module of its own, so that nobody else needs what
// they need.
//
//	cd sse/interplay && go test -race ./...
//
// This variable makes it do more:
//
//	LASTCALL_ROUNDS    how often each cell of the tables is drained; 2 if unset, 500 for a full run, which takes hours
//	                   unless -run picks some cells
package sse
