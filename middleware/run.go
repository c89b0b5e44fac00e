package middleware

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Run serves until ctx ends, serve fails, or [Drainer.Start], Shutdown, Close or another Run begins
// the drain. Then it drains and shuts srv down:
//
//	err := d.Run(ctx, srv, srv.ListenAndServe)
//	err := d.Run(ctx, srv, func() error { return srv.ServeTLS(l, "", "") })
//
// The listener stays open until the drain is over, so that late requests get the Drainer's Refusal.
// Then Run closes connections on which no request ever came. Those that are still busy, with
// handlers outside of [Graceful] or for HTTP/2 clients that ignore GOAWAY, are closed within the
// budget's reserve (2 s, unless Budget.Reserve is set). serve must return when srv is shut down:
// Run waits for that a second longer, then returns an error.
//
// Run returns nil when no handler under d is running and serve has returned: what the handlers used
// can be closed. Otherwise the error is that of serve, or an [*IncompleteError], or both. An error
// of [Drainer.Check] is returned before serve is called, as is one of a missing srv or serve, or of
// a Drainer whose drain is final.
//
// Several servers may share a Drainer, with a Run for each, and all of them end when one fails. The
// announcement ends at once when the last of them has.
//
// Run sets srv.ConnContext and srv.ConnState, and calls the functions that were there before. It
// installs no signal handler, see [NotifyContext].
func (d *Drainer) Run(ctx context.Context, srv *http.Server, serve func() error) error {
	if srv == nil || serve == nil {
		return errors.New("middleware: Run was given no server, or nothing that serves it; give it srv and srv.ListenAndServe, say")
	}
	if err := d.Check(); err != nil {
		return err
	}
	d.init()
	if isClosed(d.madeFinal) && ctx.Err() == nil {
		return errors.New("middleware: Run was called on a Drainer whose drain is final, and would refuse every request; give Run and Graceful a new Drainer")
	}
	if !d.wrapped.Load() {
		d.log(slog.LevelWarn, "nothing is wrapped by Graceful with this Drainer, so Run will drain nothing")
	}
	unused, served := d.watchConns(srv), make(chan error, 1)
	d.serveCalls.Add(1)
	go func() { served <- serve() }()

	var serveErr error
	serving := true
	select {
	case serveErr = <-served:
		serving = false
		if serveErr == nil && ctx.Err() == nil && !isClosed(d.madeFinal) {
			d.log(slog.LevelWarn, "serve returned without an error and without a signal, so Run ends; it must go on until srv is shut down")
		}
		if d.serveCalls.Add(-1) == 0 {
			d.begin(time.Time{}, true)
			d.scheduler.post(d.scheduler.endAnnounce)
		}
	case <-ctx.Done():
	case <-d.madeFinal:
	}
	err := d.Shutdown(context.WithoutCancel(ctx))

	unused.Range(func(c, _ any) bool {
		closeHard(c.(net.Conn))
		return true
	})
	closing, cancel := context.WithDeadline(context.Background(), d.closeDeadline())
	defer cancel()
	if err != nil {
		cancel() // the drain has used up the time for what is still open
	}
	if srv.Shutdown(closing) != nil && err == nil {
		d.log(slog.LevelWarn, "closing connections that are still open after the drain: of handlers outside of Graceful, of peers that don't read the end of a response, or of HTTP/2 clients that ignore GOAWAY")
	}
	_ = srv.Close() // what Shutdown left; its error is that of a listener closed twice
	if serving {
		timer := time.NewTimer(time.Second)
		defer timer.Stop()
		select {
		case serveErr = <-served:
			d.serveCalls.Add(-1)
		case <-timer.C:
			serveErr = errors.New("serve has not returned a second after srv was shut down; it must serve srv, and nothing else")
		}
	}
	if serveErr != nil && !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(fmt.Errorf("middleware: serving: %w", serveErr), err)
	}
	return err
}

// closeDeadline returns until when connections may stay open after the drain: for the reserve from
// now, but within the budget.
func (d *Drainer) closeDeadline() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.Budget.WithDefaults()
	return earlier(time.Now().Add(b.Reserve), d.current.began.Add(b.Total))
}

// watchConns sets srv.ConnContext and srv.ConnState. It returns the set of connections on which no
// byte has come: a browser's spare ones, a load balancer's probes. http.Server.Shutdown would wait
// more than five seconds for each.
func (d *Drainer) watchConns(srv *http.Server) (unused *sync.Map) {
	connContext, connState := srv.ConnContext, srv.ConnState
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if connContext != nil {
			ctx = connContext(ctx, c)
		}
		return d.ConnContext(ctx, c)
	}
	unused = new(sync.Map)
	srv.ConnState = func(c net.Conn, state http.ConnState) {
		if connState != nil {
			connState(c, state)
		}
		if state == http.StateNew {
			unused.Store(c, nil)
		} else {
			unused.Delete(c)
		}
	}
	return unused
}
