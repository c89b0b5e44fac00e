package middleware_test

import (
	"context"
	"log/slog"
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
	assert.Equal(t, "Shutdown was called (received signal: terminated)", d.Report().Cause)
}

// A signal begins the drain only through Run, Start or Shutdown. Where none of them is called, a
// warning says so: after a second, or when the program ends its handling of signals before.
func TestSignalThatBeginsNoDrain(t *testing.T) {
	for name, c := range map[string]struct {
		wrapped, started, waits, warned bool
	}{
		"nobody calls Run":               {true, false, true, true},
		"nobody calls Run, and it ends":  {true, false, false, true},
		"Start is called":                {true, true, false, false},
		"there is nothing to be drained": {false, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			warnings := make(chan string, 10)
			d := &middleware.Drainer{Logger: slog.New(warningsTo{slog.DiscardHandler, warnings})}
			if c.wrapped {
				middleware.Graceful(d)(http.NotFoundHandler())
			}
			ctx, stop := middleware.NotifyContext(t.Context(), d)
			defer stop()
			self, err := os.FindProcess(os.Getpid())
			require.NoError(t, err)
			require.NoError(t, self.Signal(syscall.SIGTERM))
			<-ctx.Done()
			if c.started {
				d.Start()
			}
			const warning = "a signal has come, but nothing begins the drain, so no stream is told and no WebSocket waited for; " +
				"give NotifyContext's context to Run, or call Start (srv.RegisterOnShutdown(d.Start)) and Shutdown"
			if c.waits {
				assert.Equal(t, warning, <-warnings)
			}
			stop()
			assert.NoError(t, d.Shutdown(t.Context()))
			close(warnings)
			var rest []string
			for w := range warnings {
				rest = append(rest, w)
			}
			if c.warned && !c.waits {
				assert.Equal(t, []string{warning}, rest)
			} else {
				assert.Empty(t, rest, "once is enough")
			}
		})
	}
}

// A warningsTo is a slog handler that sends the warnings.
type warningsTo struct {
	slog.Handler
	to chan<- string
}

func (w warningsTo) Enabled(context.Context, slog.Level) bool { return true }

func (w warningsTo) Handle(_ context.Context, r slog.Record) error {
	if r.Level == slog.LevelWarn {
		w.to <- r.Message
	}
	return nil
}
