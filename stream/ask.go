package stream

import (
	"context"
	"errors"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

// ErrDraining is the [context.Cause] of a request's context that was cancelled
// because its response's time was up: in a drain of the server, or of this stream
// alone, by its rule's MaxAge or by middleware.Drainer.Shed. A context that ended
// because its client left, or because its handler returned, has another cause.
var ErrDraining = errors.New("stream: the response was draining, alone or with its server, and its time is up")

// From gives the response that a request's context belongs to, or nil where
// nothing tracks it. All methods of a nil *Response are safe to call.
func From(ctx context.Context) *Response {
	r, _ := ctx.Value(responseKey{}).(*Response)
	return r
}

// Draining gives a channel that is closed when this response should wind up. For a
// finite one that is as soon as the drain stops admitting requests, with a Grace of
// [policy.ToTheEnd] only as its context is cancelled. For a stream it is its own slot,
// in a drain or by its rule's MaxAge or middleware.Drainer.Shed: its farewell is out
// by then, unless that waits for the end of what the handler is writing, an event or
// a message. A finite response that heard of a drain that was taken back can't unhear
// it. Where nothing is tracked the channel is nil, and receiving from it blocks for
// ever.
//
// A handler that waits, a long-poll say, selects on it and answers early. A
// handler that doesn't listen loses nothing. The moment at which the server
// stops being ready is another and earlier one, middleware.Drainer.Draining.
func Draining(ctx context.Context) <-chan struct{} { return From(ctx).Draining() }

// Deadline tells when the drain will cancel this context. It is false until the drain's
// announcement is over, unless this stream alone has been told before, and where nothing
// is tracked. For the deadline of the context itself, which lastcall never changes, ask
// the context.
func Deadline(ctx context.Context) (time.Time, bool) { return From(ctx).Deadline() }

// Tag says what kind of response the handler is giving. The handler knows best:
// its word stands above every rule and above what the response's header looks
// like. A language model's answer that goes out as an event stream is
// [policy.Finite]. [policy.Auto] takes an earlier Tag back. What is no kind is not
// heard, and where nothing is tracked, Tag does nothing.
func Tag(ctx context.Context, k policy.Kind) { From(ctx).Tag(k) }

// OnFarewell lets the handler of a stream say what its client is told. f is
// called when the stream's slot has come, with the client's own reconnect slot; what
// it leaves zero is the rule's. That is once at most, unless a stream is let off
// before its farewell is out, as one that is tagged finite is, and has another slot
// later. It runs on a goroutine of the drain beside the handler, must not block, and
// must not write to the response. A chat that has messages of its own says goodbye in
// one of them:
//
//	stream.OnFarewell(r.Context(), func(retry time.Duration) policy.Farewell {
//		return policy.Farewell{Message: fmt.Sprintf(`{"type":"bye","retry":%d}`, retry.Milliseconds())}
//	})
//
// Where the handler has hijacked a WebSocket and left it to goroutines of its own, all
// of this goes on for them, but for the request's context, which ends with the handler.
// A second call replaces f, nil takes it back. Where nothing is tracked,
// OnFarewell does nothing.
func OnFarewell(ctx context.Context, f func(retry time.Duration) policy.Farewell) {
	From(ctx).OnFarewell(f)
}
