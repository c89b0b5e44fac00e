package stream_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// track begins a response in a registry of its own.
func track(t testing.TB, parent context.Context) (*stream.Entry, *stream.Registry) {
	t.Helper()
	g, e := new(stream.Registry), new(stream.Entry)
	if !e.Track(g, request(parent), new(policy.Rule), nil) {
		t.Fatal("not admitted")
	}
	return e, g
}

func TestContextIsItsParents(t *testing.T) {
	type key struct{}
	deadline := time.Now().Add(time.Hour)
	parent, cancel := context.WithDeadline(context.WithValue(context.Background(), key{}, "value"), deadline)
	defer cancel()
	e, _ := track(t, parent)
	for _, looked := range []string{"before anybody waits on it", "after"} {
		ctx := e.Context()
		at, ok := ctx.Deadline()
		assert.True(t, ok, looked)
		assert.Equal(t, deadline, at, looked)
		assert.Equal(t, "value", ctx.Value(key{}), looked)
		assert.NoError(t, ctx.Err(), looked)
		assert.Same(t, &e.Response, stream.From(ctx), looked)
		assert.NoError(t, context.Cause(ctx), looked)
		ctx.Done()
	}
}

func TestContextEndsWithItsParent(t *testing.T) {
	gone := errors.New("the client has left")
	for name, wait := range map[string]bool{"waited on": true, "not waited on": false} {
		t.Run(name, func(t *testing.T) {
			parent, cancel := context.WithCancelCause(context.Background())
			e, _ := track(t, parent)
			ctx := e.Context()
			if wait {
				ctx.Done()
			}
			cancel(gone)
			<-ctx.Done()
			assert.ErrorIs(t, ctx.Err(), context.Canceled)
			assert.Equal(t, gone, context.Cause(ctx))
			e.Cancel() // comes too late to be the cause
			assert.Equal(t, gone, context.Cause(ctx))
		})
	}
}

func TestCancelReachesDerivedContexts(t *testing.T) {
	e, _ := track(t, context.Background())
	before, cancel := context.WithTimeout(e.Context(), time.Hour)
	defer cancel()
	called := make(chan struct{})
	context.AfterFunc(e.Context(), func() { close(called) })
	e.Cancel()
	<-called
	<-before.Done()
	after, cancel := context.WithCancel(e.Context())
	defer cancel()
	<-after.Done()
	for _, ctx := range []context.Context{e.Context(), before, after} {
		assert.ErrorIs(t, ctx.Err(), context.Canceled)
		assert.ErrorIs(t, context.Cause(ctx), stream.ErrDraining)
	}
	assert.True(t, e.Cancelled())
}

// Deriving from the context and waiting on it starts no goroutine: in a bubble
// one would keep Wait from returning with nothing else to run.
func TestContextStartsNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := track(t, t.Context())
		derived, cancel := context.WithCancel(e.Context())
		_, cancel2 := context.WithTimeout(derived, time.Hour)
		defer cancel2()
		defer cancel()
		synctest.Wait()
	}) // the bubble fails if a goroutine is left
}

func TestReleaseFreesTheParent(t *testing.T) {
	e, _ := track(t, context.Background())
	ctx := e.Context()
	done := ctx.Done()
	e.Release()
	<-done
	assert.ErrorIs(t, context.Cause(ctx), context.Canceled, "not ErrDraining: no drain did it")
}

func TestContextCostsNothingUntilWaitedOn(t *testing.T) {
	e, _ := track(t, context.Background())
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		ctx := e.Context()
		_ = ctx.Err()
		_ = ctx.Value("nothing")
		_ = stream.From(ctx)
	}))
}
