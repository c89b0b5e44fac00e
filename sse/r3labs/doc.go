// Package r3labs has a handler for a [github.com/r3labs/sse/v2] server, which can be closed without
// leaving goroutines behind, and which a subscriber that doesn't read can't block.
//
//	events := &r3labs.Handler{Server: sse.New()}
//	mux.Handle("GET /events", events)
//	err := d.Run(ctx, srv, srv.ListenAndServe) // every stream has been told and has ended
//	err = errors.Join(err, events.Close(ctx))  // and only now the library
//
// The library works under package middleware without this one, which avoids three faults of its
// own: its Close leaves a goroutine behind for each subscriber, a subscriber that doesn't read
// blocks all others, even from ending, and one that comes back gets the last event again.
//
// Server.RemoveStream leaves goroutines behind as Close does: remove a stream once it has no
// subscribers.
package r3labs
