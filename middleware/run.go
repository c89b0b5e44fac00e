package middleware

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Run serves until ctx ends, serve fails, or [Drainer.Start], Shutdown, Close or another Run begins
// the drain. Then it drains and shuts srv down:
//
//	err := d.Run(ctx, srv, srv.ListenAndServe)
//	err := d.Run(ctx, srv, func() error { return srv.ServeTLS(l, "", "") })
//
// The listener stays open until the drain is over, so that late requests get the Drainer's Refusal;
// with [Drainer.CloseListeners] it is closed as soon as the announcement is over. After the drain
// Run closes connections on which no request ever came. Those that are still busy, with handlers
// outside of [Graceful] or for HTTP/2 clients that ignore GOAWAY, are closed within the budget's
// reserve (2 s, unless Budget.Reserve is set). serve must return when srv is shut down: Run waits
// for that a second longer, then returns an error.
//
// Run returns nil when no handler under d is running and serve has returned: what the handlers used
// can be closed. Otherwise the error is that of serve, or an [*IncompleteError], or both. An error
// of [Drainer.Check] is returned before serve is called, as is one of a missing srv or serve, or of
// a Drainer whose drain is final. A panic of serve is an error.
//
// Several servers may share a Drainer, with a Run for each or one [Drainer.RunAll], and all of them
// end when one fails: the Run of the one that failed returns its error, and so does a Run that is
// called after that. The announcement ends at once when the last of them has.
//
// Run sets srv.ConnContext and srv.ConnState, and calls the functions that were there before. It
// installs no signal handler, see [NotifyContext].
func (d *Drainer) Run(ctx context.Context, srv *http.Server, serve func() error) error {
	return d.RunAll(ctx, Server{HTTP: srv, Serve: serve})
}

// A Server is one of those that [Drainer.RunAll] serves. Both fields must be set.
type Server struct {
	HTTP  *http.Server
	Serve func() error // HTTP.ListenAndServe, say; it must return when HTTP is shut down
}

// RunAll is Run for several servers, which all end when ctx does, or when one of them fails:
//
//	err := d.RunAll(ctx,
//		middleware.Server{HTTP: public, Serve: public.ListenAndServe},
//		middleware.Server{HTTP: admin, Serve: admin.ListenAndServe})
//
// If several servers fail, the error has those of all of them, with that of the first in front. An
// http.Server with several listeners may be given once for each.
func (d *Drainer) RunAll(ctx context.Context, servers ...Server) error {
	if err := d.checkRun(ctx, servers); err != nil {
		return err
	}
	all, returned := make([]*runningServer, len(servers)), make(chan error, len(servers))
	for i, s := range servers {
		all[i] = newRunningServer(d, s)
	}
	d.addRunning(all)
	defer d.removeRunning(all)
	for _, r := range all {
		go func() { returned <- d.serve(ctx, r) }()
	}

	var errs []error                // one for each server that has returned, nil for most
	cause := "another server ended" // which has begun the drain, with its own cause
	select {
	case err := <-returned:
		errs = append(errs, err)
	case <-ctx.Done():
		cause = causeOf(ctx)
	case <-d.madeFinal:
	}
	err := d.shutdown(context.WithoutCancel(ctx), cause)
	d.closeAll(all, err == nil)

	timer := time.NewTimer(time.Second)
	defer timer.Stop()
wait:
	for len(errs) < len(all) {
		select {
		case err := <-returned:
			errs = append(errs, err)
		case <-timer.C:
			errs = append(errs, errors.New("serving: serve has not returned a second after srv was shut down; it must serve srv, and nothing else"))
			break wait
		}
	}
	if failed := errors.Join(errs...); failed != nil {
		err = errors.Join(fmt.Errorf("middleware: %w", failed), err)
	}
	return err
}

// checkRun returns an error if servers can't be run.
func (d *Drainer) checkRun(ctx context.Context, servers []Server) error {
	if len(servers) == 0 {
		return errors.New("middleware: RunAll was given no server")
	}
	for _, s := range servers {
		if s.HTTP == nil || s.Serve == nil {
			return errors.New("middleware: Run was given no server, or nothing that serves it; give it srv and srv.ListenAndServe, say")
		}
	}
	if err := d.Check(); err != nil {
		return err
	}
	d.init()
	if isClosed(d.madeFinal) && ctx.Err() == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.failure != nil {
			return fmt.Errorf("middleware: Run was called when another server of this Drainer had failed: %w", d.failure)
		}
		return errors.New("middleware: Run was called on a Drainer whose drain is final, and would refuse every request; give Run and Graceful a new Drainer")
	}
	if !d.wrapped.Load() {
		d.log(slog.LevelWarn, "nothing is wrapped by Graceful with this Drainer, so Run will drain nothing")
	}
	return nil
}

// serve calls r's Serve function. When that returns it begins the drain, if none has begun, and
// returns its error if it is a failure.
func (d *Drainer) serve(ctx context.Context, r *runningServer) error {
	err := r.callServe()
	serving := strings.TrimSuffix("serving "+r.HTTP.Addr, " ")
	cause := serving + " ended"
	switch {
	case err != nil && !errors.Is(err, http.ErrServerClosed):
		err = fmt.Errorf("%s: %w", serving, err)
		cause = err.Error()
		d.mu.Lock()
		if d.failure == nil {
			d.failure = err
		}
		d.mu.Unlock()
	case ctx.Err() != nil:
		err, cause = nil, causeOf(ctx)
	default:
		if err == nil && !isClosed(d.madeFinal) {
			d.log(slog.LevelWarn, "serve returned without an error and without a signal, so Run ends; it must go on until srv is shut down")
		}
		err = nil
	}
	d.begin(time.Time{}, true, cause)
	if d.serveCalls.Add(-1) == 0 {
		d.scheduler.post(d.scheduler.endAnnounce)
	}
	return err
}

// closeAll shuts the servers down after the drain. Connections that are still open then may stay
// for the reserve from now, but within the budget, and not at all if the drain was incomplete.
func (d *Drainer) closeAll(all []*runningServer, complete bool) {
	_, current := d.state()
	budget := d.Budget.WithDefaults()
	deadline := earlier(time.Now().Add(budget.Reserve), current.began.Add(budget.Total))
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	if !complete {
		cancel()
	}
	var closed sync.WaitGroup
	var busy atomic.Bool
	for i, r := range all {
		if slices.ContainsFunc(all[:i], func(other *runningServer) bool { return other.HTTP == r.HTTP }) {
			continue // it serves two listeners, and is shut down once
		}
		closed.Go(func() {
			if !r.close(ctx, current.hurried.Load()) {
				busy.Store(true)
			}
		})
	}
	closed.Wait()
	if busy.Load() && complete {
		d.log(slog.LevelWarn, "closing connections that are still open after the drain: of handlers outside of Graceful, of peers that don't read the end of a response, or of HTTP/2 clients that ignore GOAWAY")
	}
}
