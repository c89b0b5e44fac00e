// Package sse is for handlers and servers of event streams (text/event-stream, WHATWG HTML 9.2):
// [Event] is encoded as one, [Accepts] recognizes a request for one, [FromEventSource] that of an
// EventSource, and [Refuse] answers so that the client comes back later. The package has no client.
package sse
