package middleware_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
)

func TestFirstSignalEndsTheContextAndTheSecondCuts(t *testing.T) {
	d := &middleware.Drainer{}
	running := make(chan struct{})
	h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(running)
		<-r.Context().Done()
	}))
	ctx, stop := middleware.NotifyContext(context.Background(), d)
	defer stop()
	var handlers sync.WaitGroup
	handlers.Go(func() { abortable(h).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)) })
	<-running // a drain without it would be over before the second signal has come

	self, err := os.FindProcess(os.Getpid())
	require.NoError(t, err)
	require.NoError(t, self.Signal(syscall.SIGTERM))
	<-ctx.Done()
	assert.ErrorContains(t, context.Cause(ctx), "terminated")
	ended := make(chan error)
	go func() { ended <- d.Shutdown(context.WithoutCancel(ctx)) }()
	<-d.Draining()
	require.NoError(t, self.Signal(os.Interrupt))
	assert.NoError(t, <-ended)
	handlers.Wait()
	stop()
	stop() // a second call does nothing
}
