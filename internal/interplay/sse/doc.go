// Package sse tests lastcall with other people's event stream code: the libraries that a handler
// may use, under the routers, proxies and compressors that may stand around them, each drained at
// any moment in front of a client that accepts no violation of the format. It holds tests only.
//
// This environment variable makes it do more:
//
//	LASTCALL_ROUNDS   how often each cell of TestDrain and TestCompression is drained; 2 if unset,
//	                  500 for a full run, which takes hours unless -run picks some cells
package sse
