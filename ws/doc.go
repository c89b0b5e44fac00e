// Package ws is for use beside a WebSocket library: [Requested] tells whether a request asks for a
// WebSocket, and [Retry] when a client should reconnect.
package ws
