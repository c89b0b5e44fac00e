package stream

import (
	"context"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// ErrDraining is the [context.Cause] of a request's context that a drain, the rule's MaxAge or
// middleware.Drainer.Shed has canceled. A context that ended because the client left, or because
// the handler returned, has another cause.
//
// By [errors.Is] it is also what a stream's Write and Flush return after the cancel, while a finite
// response can still be written to, and the error of a connection that the drain has closed or of
// the body of an HTTP/1 request whose reading it has ended.
var ErrDraining = tracked.ErrDraining

// Draining returns a channel that is closed when this response should wind up. A handler that
// waits, as that of a long-poll, selects on it and answers early. No handler has to. Where nothing
// is tracked the channel is nil, and receiving from it blocks forever.
//
// For a finite response that is as soon as the drain stops admitting requests. With a Grace of
// [policy.ToTheEnd] it is only when its context is canceled. The channel stays closed when the
// drain is taken back.
//
// For a stream it is when its farewell has been written, in a drain, by its rule's MaxAge or by
// middleware.Drainer.Shed. A farewell that waits for the end of an event or a message that the
// handler is writing can come after it.
//
// The server stops being ready at an earlier moment, see middleware.Drainer.Draining.
func Draining(ctx context.Context) <-chan struct{} {
	r := tracked.From(ctx)
	if r == nil {
		return nil
	}
	return r.Draining()
}

// Deadline returns when the drain will cancel this context. It reports false until the drain's
// announcement is over, unless this stream alone has been told before, and where nothing is
// tracked. It is not ctx.Deadline, which lastcall never changes.
func Deadline(ctx context.Context) (time.Time, bool) {
	if r := tracked.From(ctx); r != nil {
		if m, published := r.Moments(); published {
			return m.Cancel, true
		}
	}
	return time.Time{}, false
}

// Tag says what kind of response the handler is giving. It stands above every rule and above what
// the response's header looks like: a language model's answer that goes out as an event stream over
// GET is [policy.Finite]. [policy.Auto] takes an earlier Tag back. A value that is no kind is
// ignored.
func Tag(ctx context.Context, k policy.Kind) {
	if r := tracked.From(ctx); r != nil {
		r.Tag(k)
	}
}

// OnFarewell sets what the client of a stream is told. When the stream's slot has come, f is called
// with the client's own reconnect slot. What f leaves zero is the rule's. A chat that has messages
// of its own says goodbye in one of them:
//
//	stream.OnFarewell(r.Context(), func(retry time.Duration) policy.Farewell {
//		return policy.Farewell{Message: fmt.Sprintf(`{"type":"bye","retry":%d}`, retry.Milliseconds())}
//	})
//
// f runs on a goroutine of the drain beside the handler. It must not block and must not write to
// the response. A panic in it is caught and logged, and the rule's farewell is sent. f is called
// once at most, unless the stream is let off before its farewell is out, as one that is tagged
// finite is, and has another slot later.
//
// A second call replaces f, and nil takes it back. f is also called for a WebSocket whose handler
// has hijacked it and returned.
func OnFarewell(ctx context.Context, f func(retry time.Duration) policy.Farewell) {
	if r := tracked.From(ctx); r != nil {
		r.OnFarewell(f)
	}
}
