// Package websocket tests lastcall with other people's WebSocket code: the server libraries that a
// handler may use, each drained at any moment in front of a client that accepts no violation of the
// protocol; the clients that most peers are; and peers that are stuck or break the protocol. Beside
// tests it has the client of Node.js and echo handlers, which its tests and those of node share.
//
// These environment variables make it do more:
//
//	LASTCALL_ROUNDS   how often each cell of TestDrain is drained; 3 if unset, 500 for a full run
//	LASTCALL_CROWD    how many peers are stuck at once in TestStuckPeers, or idle in BenchmarkIdle;
//	                  2,000 if unset, 9,000 at most, since this process holds both ends
//
// TestClients and the tests in node need Node.js and npm, with which they install the package ws.
// The browser is $LASTCALL_BROWSER, or else the chromium on the PATH. Where there is none its tests
// are skipped, unless the variable is set.
//
// The script wrapped runs the tests of gorilla/websocket and coder/websocket themselves, with every
// handler under lastcall.
package websocket
