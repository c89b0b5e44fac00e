// Package sse is for handlers and servers of event streams (text/event-stream, WHATWG HTML 9.2):
// [Event] writes an event, [Accepts] recognizes the request of an EventSource, and [Refuse] turns
// one away so that it comes back. Only Refuse does I/O. The package has no client.
package sse
