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

// cancelContext embeds a context of package context's own making, so that contexts derived from it
// need no goroutine and context.Cause finds its cause.
type cancelContext struct {
	context.Context
	cancel  context.CancelCauseFunc
	drained atomic.Bool // the drain canceled it
	watched atomic.Bool // somebody waits for the cancel, or has seen it
}

// Context returns the context for the handler's request.
func (r *Response) Context() context.Context { return (*responseContext)(r) }

func (c *responseContext) Deadline() (time.Time, bool) { return c.request.Context().Deadline() }

func (c *responseContext) Done() <-chan struct{} {
	inner := (*Response)(c).cancelContext()
	inner.watched.Store(true)
	return inner.Done()
}

func (c *responseContext) Err() error {
	c.seen()
	return c.current().Err()
}

// Value asks the context that can be canceled, once there is one: package context looks for the
// nearest such ancestor that way, by a key of type *int, and then for its cause.
func (c *responseContext) Value(key any) any {
	switch key.(type) {
	case responseKey:
		return (*Response)(c)
	case *int:
		c.seen()
	}
	return c.current().Value(key)
}

// seen notes that somebody who asks now sees the drain's cancel, if there was one.
func (c *responseContext) seen() {
	if inner := c.inner.Load(); inner != nil && inner.drained.Load() {
		inner.watched.Store(true)
	}
}

func (c *responseContext) current() context.Context {
	if inner := c.inner.Load(); inner != nil {
		return inner.Context
	}
	return c.request.Context()
}

// cancelContext returns the context that Done waits on, and makes it at the first call.
func (r *Response) cancelContext() *cancelContext {
	if inner := r.inner.Load(); inner != nil {
		return inner
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	inner := r.inner.Load()
	if inner == nil {
		ctx, cancel := context.WithCancelCause(r.request.Context())
		inner = &cancelContext{Context: ctx, cancel: cancel}
		r.inner.Store(inner)
	}
	return inner
}

// Cancel cancels the response's context with [ErrDraining].
func (r *Response) Cancel() {
	inner := r.cancelContext()
	inner.drained.Store(true) // first, so that whoever the cancel wakes sees it
	inner.cancel(ErrDraining)
}

// Canceled reports whether the drain canceled the response's context.
func (r *Response) Canceled() bool {
	inner := r.inner.Load()
	return inner != nil && inner.drained.Load()
}

// CancelSeen reports whether the handler can know of the cancel: it has waited on its context, or
// asked for its error since.
func (r *Response) CancelSeen() bool {
	inner := r.inner.Load()
	return inner != nil && inner.watched.Load()
}

// ReleaseContext frees what the context holds in its parent. It is called when the handler has
// returned, at which net/http ends the parent, too.
func (r *Response) ReleaseContext() {
	if inner := r.inner.Load(); inner != nil {
		inner.cancel(nil)
	}
}
