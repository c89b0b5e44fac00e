package middleware

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// NotifyContext returns a context that ends at the first SIGINT or SIGTERM, with the signal's name
// in its cause. The second signal calls d.Close, which cuts what is left. The third ends the
// process, as signals do by default.
//
// main calls it, and calls stop when Run has returned. stop ends the handling of signals and waits
// for NotifyContext's goroutine.
//
// If a second after the first signal nothing has begun d's drain, it logs a warning.
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
			received := "received signal: " + s.String()
			d.signal.Store(&received)
			cancel(errors.New(causePrefix + received))
		case <-quitting.Done():
			return
		}
		late := time.NewTimer(time.Second)
		defer late.Stop()
		for {
			select {
			case <-signals:
				signal.Stop(signals)
				_ = d.Close() // Run and Shutdown return the same error
				return
			case <-late.C:
				d.warnIfNotDraining()
			case <-quitting.Done():
				if late.Stop() {
					d.warnIfNotDraining()
				}
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		quit()
		cancel(nil)
		<-ended
	}
}

// causePrefix is what the error of a signal begins with, as this package's errors do. The drain's
// cause goes without it.
const causePrefix = "middleware: "

// causeOf returns why ctx has ended, as the cause of a drain.
func causeOf(ctx context.Context) string {
	why := context.Cause(ctx)
	if why == ctx.Err() {
		return "the context given to Run ended: " + why.Error()
	}
	return strings.TrimPrefix(why.Error(), causePrefix)
}

// warnIfNotDraining logs a warning after a signal if nothing has begun the drain.
func (d *Drainer) warnIfNotDraining() {
	if d.wrapped.Load() && !d.draining() {
		d.log(slog.LevelWarn, "a signal has come, but nothing begins the drain, so no stream is told and no WebSocket waited for; "+
			"give NotifyContext's context to Run, or call Start (srv.RegisterOnShutdown(d.Start)) and Shutdown")
	}
}
