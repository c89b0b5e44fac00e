// Package sse has what a handler of event streams (text/event-stream, WHATWG HTML 9.2) can use: how
// an event is written, how one recognizes the request of an EventSource, and how one is turned away
// without losing it.
//
// It does no I/O but in [Refuse], and is no client.
package sse
