package stream_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// Everything that a handler asks is harmless where nothing is tracked.
func TestUntracked(t *testing.T) {
	ctx := context.Background()
	assert.Nil(t, stream.From(ctx))
	assert.Nil(t, stream.Draining(ctx))
	_, ok := stream.Deadline(ctx)
	assert.False(t, ok)
	stream.Tag(ctx, policy.Finite)
	stream.OnFarewell(ctx, nil)
	var r *stream.Response
	assert.Equal(t, policy.Auto, r.Kind())
	assert.Equal(t, stream.HTTP, r.Format())
	assert.Empty(t, r.Route())
	assert.Empty(t, r.Pattern())
	assert.Zero(t, r.Age())
	assert.Zero(t, r.Idle())
	r.Refine(policy.Rule{Kind: policy.Finite})
	assert.Zero(t, r.Rule())
}
