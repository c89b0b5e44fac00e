package tracked

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// ErrDraining is the cause of a context that a drain canceled.
var ErrDraining = errors.New("stream: the response was draining, alone or with its server, and its time is up")

// responseContext is the request's context that a handler gets. Most finite handlers never wait on
// theirs, so the context that can be canceled is made only when somebody asks for Done, or when the
// drain cancels.
type responseContext Response

// A cancelableContext embeds a context of package context's own making, so that contexts derived
// from it need no goroutine and context.Cause finds its cause.
type cancelableContext struct {
	context.Context
	cancel   context.CancelCauseFunc
	canceled atomic.Bool // by the drain
	seen     atomic.Bool // somebody waits for the cancel, or has asked for it since
}

// Context returns the context for the handler's request.
func (r *Response) Context() context.Context { return (*responseContext)(r) }

func (c *responseContext) Deadline() (time.Time, bool) { return c.request.Context().Deadline() }

func (c *responseContext) Done() <-chan struct{} {
	inner := (*Response)(c).makeCancelable()
	inner.seen.Store(true)
	return inner.Done()
}

func (c *responseContext) Err() error {
	c.noteSeen()
	return c.current().Err()
}

// Value asks the context that can be canceled, once there is one: package context looks for the
// nearest such ancestor that way, by a key of type *int. It does so to find the cause, too, and who
// has asked for that has seen the cancel.
func (c *responseContext) Value(key any) any {
	switch key.(type) {
	case responseKey:
		return (*Response)(c)
	case *int:
		c.noteSeen()
	}
	return c.current().Value(key)
}

// noteSeen records that somebody who asks now sees the drain's cancel, if there was one.
func (c *responseContext) noteSeen() {
	if inner := c.cancelable.Load(); inner != nil && inner.canceled.Load() {
		inner.seen.Store(true)
	}
}

func (c *responseContext) current() context.Context {
	if inner := c.cancelable.Load(); inner != nil {
		return inner.Context
	}
	return c.request.Context()
}

// makeCancelable returns the context that Done waits on, which it makes at the first call.
func (r *Response) makeCancelable() *cancelableContext {
	if inner := r.cancelable.Load(); inner != nil {
		return inner
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	inner := r.cancelable.Load()
	if inner == nil {
		ctx, cancel := context.WithCancelCause(r.request.Context())
		inner = &cancelableContext{Context: ctx, cancel: cancel}
		r.cancelable.Store(inner)
	}
	return inner
}

// Cancel cancels the response's context with [ErrDraining].
func (r *Response) Cancel() {
	inner := r.makeCancelable()
	inner.canceled.Store(true) // first, so that whoever the cancel wakes sees it
	inner.cancel(ErrDraining)
}

// Canceled reports whether the drain canceled the response's context.
func (r *Response) Canceled() bool {
	inner := r.cancelable.Load()
	return inner != nil && inner.canceled.Load()
}

// CancelSeen reports whether the handler can know of the cancel: it has waited on its context, or
// asked for its error after the cancel.
func (r *Response) CancelSeen() bool {
	inner := r.cancelable.Load()
	return inner != nil && inner.seen.Load()
}

// ReleaseContext frees what the context holds in its parent. It is called when the handler, or the
// task, has returned.
func (r *Response) ReleaseContext() {
	if inner := r.cancelable.Load(); inner != nil {
		inner.cancel(nil)
	}
}
