// Package stream holds the tracked response: what lastcall knows of one
// exchange from before its handler runs until no byte of it can be written any
// more, and what that handler may ask and say about it.
//
// A handler uses a handful of functions, all of them harmless where nothing is
// tracked:
//
//	stream.Tag(ctx, policy.Finite)   // this event stream ends by itself: let it finish
//	<-stream.Draining(ctx)           // it is this response's turn to wind up
//	stream.Deadline(ctx)             // when its context will be cancelled
//	stream.OnFarewell(ctx, f)        // what its client is told
//	context.Cause(ctx)               // is ErrDraining once the drain has done so
//
// The rest ([Registry], [Entry], [Link]) is the drain's side, which package
// middleware works with, and which may change with it in any release. Package stream writes no byte to any connection,
// starts no goroutine and keeps no clock running for an idle response.
package stream
