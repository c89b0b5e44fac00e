// Package stream is what a handler can ask and say about its own response while package middleware
// tracks it:
//
//	stream.Tag(ctx, policy.Finite) // this event stream over GET ends by itself: let it finish
//	<-stream.Draining(ctx)         // the response should wind up
//	stream.Deadline(ctx)           // when its context will be canceled
//	stream.OnFarewell(ctx, f)      // have f say what its client is told
//	context.Cause(ctx)             // is ErrDraining once the drain has canceled the context
//
// ctx is the context of the handler's request, or one made from it. Where nothing is tracked, all
// of this does nothing. The package writes to no connection, starts no goroutine, and has no timer.
package stream
