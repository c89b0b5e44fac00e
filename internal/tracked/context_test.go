package tracked_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// track begins a response in a registry of its own.
func track(t testing.TB, parent context.Context) (*tracked.Response, *tracked.Registry) {
	t.Helper()
	g, r := new(tracked.Registry), new(tracked.Response)
	if !r.Begin(g, request(parent), new(policy.Rule), nil) {
		t.Fatal("not admitted")
	}
	return r, g
}

func TestContextIsItsParents(t *testing.T) {
	type key struct{}
	deadline := time.Now().Add(time.Hour)
	parent, cancel := context.WithDeadline(context.WithValue(context.Background(), key{}, "value"), deadline)
	defer cancel()
	r, _ := track(t, parent)
	for _, looked := range []string{"before anybody waits on it", "after"} {
		ctx := r.Context()
		at, ok := ctx.Deadline()
		assert.True(t, ok, looked)
		assert.Equal(t, deadline, at, looked)
		assert.Equal(t, "value", ctx.Value(key{}), looked)
		assert.NoError(t, ctx.Err(), looked)
		assert.Same(t, r, tracked.From(ctx), looked)
		assert.NoError(t, context.Cause(ctx), looked)
		ctx.Done()
	}
}

func TestContextEndsWithItsParent(t *testing.T) {
	gone := errors.New("the client has left")
	for name, wait := range map[string]bool{"waited on": true, "not waited on": false} {
		t.Run(name, func(t *testing.T) {
			parent, cancel := context.WithCancelCause(context.Background())
			r, _ := track(t, parent)
			ctx := r.Context()
			if wait {
				ctx.Done()
			}
			cancel(gone)
			<-ctx.Done()
			assert.ErrorIs(t, ctx.Err(), context.Canceled)
			assert.Equal(t, gone, context.Cause(ctx))
			r.Cancel() // comes too late to be the cause
			assert.Equal(t, gone, context.Cause(ctx))
		})
	}
}

func TestCancelReachesDerivedContexts(t *testing.T) {
	r, _ := track(t, context.Background())
	before, cancel := context.WithTimeout(r.Context(), time.Hour)
	defer cancel()
	called := make(chan struct{})
	context.AfterFunc(r.Context(), func() { close(called) })
	r.Cancel()
	<-called
	<-before.Done()
	after, cancel := context.WithCancel(r.Context())
	defer cancel()
	<-after.Done()
	for _, ctx := range []context.Context{r.Context(), before, after} {
		assert.ErrorIs(t, ctx.Err(), context.Canceled)
		assert.ErrorIs(t, context.Cause(ctx), tracked.ErrDraining)
	}
	assert.True(t, r.Canceled())
}

// Deriving from the context and waiting on it starts no goroutine: in a bubble
// one would keep Wait from returning with nothing else to run.
func TestContextStartsNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := track(t, t.Context())
		derived, cancel := context.WithCancel(r.Context())
		_, cancel2 := context.WithTimeout(derived, time.Hour)
		defer cancel2()
		defer cancel()
		synctest.Wait()
	}) // the bubble fails if a goroutine is left
}

func TestReleaseFreesTheParent(t *testing.T) {
	r, _ := track(t, context.Background())
	ctx := r.Context()
	done := ctx.Done()
	r.ReleaseContext()
	<-done
	assert.ErrorIs(t, context.Cause(ctx), context.Canceled, "not ErrDraining: no drain did it")
}

func TestContextCostsNothingUntilWaitedOn(t *testing.T) {
	r, _ := track(t, context.Background())
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		ctx := r.Context()
		_ = ctx.Err()
		_ = ctx.Value("nothing")
		_ = tracked.From(ctx)
	}))
}
