// Package websocket shows what other people's WebSocket code makes of lastcall, and lastcall of it: the server libraries
// that a handler may use, each drained at any moment in front of a client that forgives nothing; the clients that most
// peers are; and peers that are stuck or hostile. It holds tests only, in a module of its own, so that nobody else needs
// what they need.
//
//	cd ws/interplay && go test -race ./...
//
// These variables make it do more:
//
//	LASTCALL_ROUNDS   how often each cell of TestInterplay is drained; 3 if unset, 500 for a full run
//	LASTCALL_CROWD    how many peers are stuck at once, or idle in BenchmarkIdle; 2,000 if unset, 9,000 at most, since
//	                  this process holds both ends
//
// TestRealClients and the tests in node need Node.js and npm, with which they install the package ws for themselves. The
// browser is $LASTCALL_BROWSER, or else the chromium on the PATH; where it isn't installed its tests are skipped, unless
// the variable is set.
package websocket
