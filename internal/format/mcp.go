package format

import "net/http"

// IsMCP reports whether r is a request of the Model Context Protocol over its streamable HTTP
// transport: it has a header that clients send once they have agreed on a version, Mcp-Session-Id
// (protocol versions 2025-03-26 to 2025-11-25) or Mcp-Protocol-Version (from 2025-06-18).
//
// MCP's clients take every event for a message of the protocol, whatever its name, and come back
// after a clean end of their stream.
func IsMCP(r *http.Request) bool {
	return len(r.Header["Mcp-Protocol-Version"]) > 0 || len(r.Header["Mcp-Session-Id"]) > 0
}

// MCPSession returns the id of an MCP request's session, or the empty string. From protocol version
// 2026-07-28 on there are no sessions.
func MCPSession(r *http.Request) string { return r.Header.Get("Mcp-Session-Id") }

// IsMCPSubscription reports whether r opens an MCP subscription (from protocol version 2026-07-28):
// a POST, on the same path as calls, whose answer is an event stream that never ends by itself.
func IsMCPSubscription(r *http.Request) bool {
	return r.Method == http.MethodPost && r.Header.Get("Mcp-Method") == "subscriptions/listen"
}
