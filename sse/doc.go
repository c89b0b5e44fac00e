// Package sse is for handlers and servers of event streams (text/event-stream, WHATWG HTML 9.2):
// [Event] is encoded as one, [Accepts] recognizes the request of an EventSource, and [Refuse]
// answers it so that the EventSource comes back later. The package has no client.
package sse
