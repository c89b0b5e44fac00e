package stream

import (
	"context"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// ErrDraining is the [context.Cause] of a request's context that was canceled because its
// response's time was up: in a drain of the server, or of this stream alone, by its rule's MaxAge
// or by middleware.Drainer.Shed. A context that ended because its client left, or because its
// handler returned, has another cause.
var ErrDraining = tracked.ErrDraining

// Draining returns a channel that is closed when this response should wind up. For a finite one
// that is as soon as the drain stops admitting requests, and with a Grace of [policy.ToTheEnd] only
// as its context is canceled. For a stream it is its own slot, in a drain or by its rule's MaxAge
// or middleware.Drainer.Shed: its farewell is out by then, unless that waits for the end of what
// the handler is writing, an event or a message. A finite response that heard of a drain can't
// unhear it when the drain is taken back. Where nothing is tracked the channel is nil, and
// receiving from it blocks for ever.
//
// A handler that waits, a long-poll say, selects on it and answers early. A handler that doesn't
// listen loses nothing. The moment at which the server stops being ready is an earlier one, see
// middleware.Drainer.Draining.
func Draining(ctx context.Context) <-chan struct{} {
	r := tracked.From(ctx)
	if r == nil {
		return nil
	}
	return r.Draining()
}

// Deadline returns when the drain will cancel this context. It reports false until the drain's
// announcement is over, unless this stream alone has been told before, and where nothing is
// tracked. For the deadline of the context itself, which lastcall never changes, ask the context.
func Deadline(ctx context.Context) (time.Time, bool) {
	r := tracked.From(ctx)
	if r == nil {
		return time.Time{}, false
	}
	m, published := r.Moments()
	if !published {
		return time.Time{}, false
	}
	return m.Cancel, true
}

// Tag says what kind of response the handler is giving. What the handler says stands above every
// rule and above what the response's header looks like: a language model's answer that goes out as
// an event stream is [policy.Finite]. [policy.Auto] takes an earlier Tag back. A value that is no
// kind is ignored, and where nothing is tracked, Tag does nothing.
func Tag(ctx context.Context, k policy.Kind) {
	if r := tracked.From(ctx); r != nil {
		r.Tag(k)
	}
}

// OnFarewell lets the handler of a stream say what its client is told. f is called when the
// stream's slot has come, with the client's own reconnect slot; what it leaves zero is the rule's.
// It is called once at most, unless the stream is let off before its farewell is out, as one that
// is tagged finite is, and has another slot later. f runs on a goroutine of the drain beside the
// handler, must not block, and must not write to the response. A panic in it is caught and logged,
// and the rule's farewell sent. A chat that has messages of its own says goodbye in one of them:
//
//	stream.OnFarewell(r.Context(), func(retry time.Duration) policy.Farewell {
//		return policy.Farewell{Message: fmt.Sprintf(`{"type":"bye","retry":%d}`, retry.Milliseconds())}
//	})
//
// Where the handler has hijacked a WebSocket and left it to goroutines of its own, all of this goes
// on for them, but for the request's context, which ends with the handler. A second call replaces
// f, nil takes it back. Where nothing is tracked, OnFarewell does nothing.
func OnFarewell(ctx context.Context, f func(retry time.Duration) policy.Farewell) {
	if r := tracked.From(ctx); r != nil {
		r.OnFarewell(f)
	}
}
