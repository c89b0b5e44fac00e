// Package sse knows the bytes of an event stream (text/event-stream, WHATWG HTML 9.2): where one event ends and the
// next may begin, how an event is written, and how one recognises such a stream by its headers.
//
// It follows a stream that somebody else writes and finds the places at which a further event can be put in without
// tearing one of theirs. It does no I/O of its own but in [Refuse], keeps no text, starts no goroutine, and knows
// nothing of why an event should be put in or of when. It is no client: it doesn't interpret the events that go by.
package sse
