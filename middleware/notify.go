package middleware

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// NotifyContext returns a context that ends at the first SIGINT or SIGTERM, with the signal's name
// in its cause. The second signal calls d.Close, which cuts what is left. The third ends the
// process, as signals do by default.
//
// main calls it, and calls stop when Run has returned. stop ends the handling of signals and waits
// for NotifyContext's goroutine.
//
//	ctx, stop := middleware.NotifyContext(context.Background(), d)
//	defer stop()
//	err := d.Run(ctx, srv, srv.ListenAndServe)
func NotifyContext(parent context.Context, d *Drainer) (ctx context.Context, stop context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	quitting, quit := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case s := <-signals:
			cancel(fmt.Errorf("middleware: received signal: %v", s))
		case <-quitting.Done():
			return
		}
		select {
		case <-signals:
			signal.Stop(signals)
			_ = d.Close() // Run and Shutdown return the same error
		case <-quitting.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		quit()
		cancel(nil)
		<-ended
	}
}
