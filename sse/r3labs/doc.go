// Package r3labs is a handler around a [github.com/r3labs/sse/v2] server that ends in order, and
// that one subscriber who stops reading can't freeze.
//
//	events := &r3labs.Handler{Server: sse.New()}
//	mux.Handle("GET /events", events)
//	err := d.Run(ctx, srv, srv.ListenAndServe) // every stream has been told and has ended
//	err = errors.Join(err, events.Close(ctx))  // and only now the library
//
// The library serves under package middleware as it is. What this adds is for what goes wrong in
// the library itself: its Close strands a goroutine for each subscriber that it finds, a subscriber
// who stops reading holds up all others, also when they are to end, and one who comes back gets the
// last event again.
//
// It does not replay what the library's event log doesn't have, and does not guard
// Server.RemoveStream, which strands subscribers as the library's Close does: remove a stream once
// nobody is on it.
package r3labs
