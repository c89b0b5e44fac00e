package middleware_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

func TestErrDrainingIsTheCauseOfTheCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause, childs error
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Timeout: 3 * time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			child, cancel := context.WithCancel(r.Context())
			defer cancel()
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusOK)
			<-child.Done()
			cause, childs = context.Cause(r.Context()), context.Cause(child)
			assert.ErrorIs(t, r.Context().Err(), context.Canceled)
		}))
		got := r.getAsync("/")
		r.drain()
		r.endsAfter(3 * time.Second)
		<-got
		assert.ErrorIs(t, cause, stream.ErrDraining)
		assert.ErrorIs(t, childs, stream.ErrDraining)
	})
}

func TestContextIsReleasedWhenTheHandlerReturns(t *testing.T) {
	d := &middleware.Drainer{}
	var ctx context.Context
	middleware.Graceful(d)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ctx = r.Context()
		ctx.Done()
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	<-ctx.Done()
	assert.Equal(t, context.Canceled, context.Cause(ctx))
}
