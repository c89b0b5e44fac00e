// Package ws has what a handler or a client of WebSockets can use beside a library for them:
// whether a request asks for one, and when a client that was told to go away should come back.
package ws
