package format

import "net/http"

// MCP reports whether r is a request of the Model Context Protocol over its streamable HTTP
// transport: it has a header that clients send once they have agreed on a version, Mcp-Session-Id
// (protocol versions 2025-03-26 to 2025-11-25) or Mcp-Protocol-Version (from 2025-06-18).
//
// Clients of its streams take an event for a message of the protocol, whatever its name, and come
// back behind a clean end.
func MCP(r *http.Request) bool {
	return len(r.Header["Mcp-Protocol-Version"]) > 0 || len(r.Header["Mcp-Session-Id"]) > 0
}

// MCPSession returns the session of an MCP request, or the empty string. From protocol version
// 2026-07-28 on there are none.
func MCPSession(r *http.Request) string { return r.Header.Get("Mcp-Session-Id") }

// MCPListen reports whether r is an MCP subscription (protocol version 2026-07-28): a POST whose
// answer is an event stream without an end, on the path of the calls, whose answers end.
func MCPListen(r *http.Request) bool {
	return r.Method == http.MethodPost && r.Header.Get("Mcp-Method") == "subscriptions/listen"
}
