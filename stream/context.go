package stream

import (
	"context"
	"sync/atomic"
	"time"
)

type responseKey struct{}

// cancellable is a context of the standard library's own making, so that
// contexts derived from it need no goroutine and context.Cause finds its cause.
type cancellable struct {
	context.Context
	cancel  context.CancelCauseFunc
	drained atomic.Bool // the drain has cancelled it
}

// responseContext is the request's context that a handler gets. Most finite
// handlers never wait on theirs, so what can be cancelled is made only when
// somebody asks for Done, or when the drain cancels: an idle context is then no
// allocation of its own.
type responseContext Response

func (c *responseContext) Deadline() (time.Time, bool) { return c.in.Context().Deadline() }

func (c *responseContext) Done() <-chan struct{} { return (*Response)(c).cancellable().Done() }

func (c *responseContext) Err() error {
	if inner := c.inner.Load(); inner != nil {
		return inner.Err()
	}
	return c.in.Context().Err()
}

// Value asks the inner context, once there is one: package context looks for
// the nearest cancellable ancestor that way.
func (c *responseContext) Value(key any) any {
	if key == (responseKey{}) {
		return (*Response)(c)
	}
	if inner := c.inner.Load(); inner != nil {
		return inner.Value(key)
	}
	return c.in.Context().Value(key)
}

// cancellable gives the context that Done waits on, made at the first call.
func (r *Response) cancellable() *cancellable {
	if inner := r.inner.Load(); inner != nil {
		return inner
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	inner := r.inner.Load()
	if inner == nil {
		ctx, cancel := context.WithCancelCause(r.in.Context())
		inner = &cancellable{Context: ctx, cancel: cancel}
		r.inner.Store(inner)
	}
	return inner
}
