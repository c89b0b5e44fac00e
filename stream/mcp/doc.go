// Package mcp lets a drain finish the calls of a Model Context Protocol server, which any library
// serves over HTTP. A [Calls] is the policy and the wrapper of its handler:
//
//	var calls mcp.Calls
//	d := &middleware.Drainer{Policy: &calls}
//	mux.Handle("/mcp", calls.Handler(server))
//
// It knows the HTTP+SSE transport (protocol version 2024-11-05), where the results of calls come
// over a standing GET, and streamable HTTP with sessions (2025-03-26 to 2025-11-25) and without
// (from 2026-07-28). It depends on no library of the protocol, resumes no stream, and hands over no
// session: a client whose session ends here begins another one at the next server.
package mcp
