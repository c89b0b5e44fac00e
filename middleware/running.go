package middleware

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// firstRequestWait is how long after it was accepted a connection's first request is waited for,
// once its listener is closed. settleWait is how long net/http has at least to tell of a connection
// that it has accepted, and to call the handler of a request that it has read.
const (
	firstRequestWait = time.Second
	settleWait       = 300 * time.Millisecond
)

// A running is a server that RunAll serves.
type running struct {
	Server
	d *Drainer

	// unused holds the connections on which no byte has come, and when they were accepted: a
	// browser's connections in advance, a load balancer's probes. http.Server.Shutdown would wait more than
	// five seconds for each.
	unused sync.Map

	mu        sync.Mutex     // guards following
	listeners []net.Listener // that the server accepts on
	closed    bool           // closeListeners was called
}

// newRunning returns what runs s, whose functions for connections it sets.
func newRunning(d *Drainer, s Server) *running {
	r := &running{Server: s, d: d}
	connContext, connState, baseContext := s.HTTP.ConnContext, s.HTTP.ConnState, s.HTTP.BaseContext
	s.HTTP.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if connContext != nil {
			ctx = connContext(ctx, c)
		}
		return d.ConnContext(ctx, c)
	}
	s.HTTP.ConnState = func(c net.Conn, state http.ConnState) {
		if connState != nil {
			connState(c, state)
		}
		r.connState(c, state)
	}
	s.HTTP.BaseContext = func(l net.Listener) context.Context {
		r.accepting(l)
		if baseContext != nil {
			return baseContext(l)
		}
		return context.Background()
	}
	return r
}

func (r *running) connState(c net.Conn, state http.ConnState) {
	if state == http.StateNew {
		r.unused.Store(c, time.Now())
	} else if _, was := r.unused.LoadAndDelete(c); was && r.d.CloseListeners && r.d.draining() {
		r.d.scheduler.post(r.d.scheduler.waitAgain)
	}
}

// name returns what, and behind it the server's address if it has one.
func (r *running) name(what string) string {
	if r.HTTP.Addr == "" {
		return what
	}
	return what + " " + r.HTTP.Addr
}

// callServe calls Serve. It runs on a goroutine of ours, where a panic of a listener or of a
// ConnState function would end the process in the middle of its responses. What it returns once its
// listener was closed is http.ErrServerClosed.
func (r *running) callServe() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	err = r.Serve()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed && errors.Is(err, net.ErrClosed) {
		return http.ErrServerClosed
	}
	return err
}

// accepting is called before the server accepts on l.
func (r *running) accepting(l net.Listener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listeners = append(r.listeners, l)
	if r.closed {
		_ = l.Close()
	}
}

// closeListeners closes the server's listeners. http.Server.Shutdown would do the same, but also drop
// the first request of a connection that was accepted just before.
func (r *running) closeListeners() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	r.closed = true
	r.d.guard("closing a listener", func() {
		for _, l := range r.listeners {
			_ = l.Close()
		}
	})
}

// closeAsDrainBegins closes the server's listeners and its idle connections.
func (r *running) closeAsDrainBegins() {
	r.closeListeners()
	r.d.guard("closing idle connections", func() { r.HTTP.SetKeepAlivesEnabled(false) })
}

// connectWait is the time from when a connection is accepted until it may be closed unused. A
// client that was just about to send its request may not notice that before: Node.js's fetch then
// waits for an answer without end.
const connectWait = 100 * time.Millisecond

// awaitFirstRequests gives the connections that were accepted just now time for their first request,
// which is refused. The listeners must be closed. Requests that come after
// http.Server.Shutdown was called get no answer.
func (r *running) awaitFirstRequests(ctx context.Context) {
	var wait time.Duration
	r.unused.Range(func(_, accepted any) bool {
		wait = max(wait, connectWait-time.Since(accepted.(time.Time)))
		return true
	})
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// close shuts the server down once the drain is over, until ctx ends, and at once if that is in a
// hurry. It reports whether no connection had to be closed that was still busy.
func (r *running) close(ctx context.Context, hurried bool) (quiet bool) {
	r.closeListeners()
	if !hurried {
		r.awaitFirstRequests(ctx)
	}
	r.unused.Range(func(c, _ any) bool {
		if _, still := r.unused.LoadAndDelete(c); still {
			closeHard(c.(net.Conn))
		}
		return true
	})
	quiet = r.HTTP.Shutdown(ctx) == nil
	_ = r.HTTP.Close() // what Shutdown left; its error is that of a listener closed twice
	return quiet
}

// addRunning adds servers to those whose listeners the drain may have to close.
func (d *Drainer) addRunning(all []*running) {
	d.serveCalls.Add(int32(len(all)))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running = append(d.running, all...)
	if d.CloseListeners && d.current != nil {
		d.scheduler.post(d.scheduler.closeListenersIfDue)
	}
}

func (d *Drainer) removeRunning(all []*running) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running = slices.DeleteFunc(d.running, func(r *running) bool { return slices.Contains(all, r) })
}

// listenersClosed reports whether the announcement may end. If the listeners are to be closed, it
// closes them, and the connections that were accepted before have time for their first request.
// That time is taken from the drain's.
func (s *scheduler) listenersClosed(now time.Time) bool {
	dr := s.drain
	if !s.closesListeners() {
		return true
	}
	if dr.closedAt.IsZero() {
		s.closeListeners(now)
	}
	dr.announceEnd = dr.settledAt.Add(settleWait)
	if last := s.youngestUnused(now).Add(firstRequestWait); last.After(dr.announceEnd) {
		dr.announceEnd = last
	}
	dr.announceEnd = earlier(dr.announceEnd, dr.closedAt.Add(min(firstRequestWait+settleWait, dr.work/4)))
	return !now.Before(dr.announceEnd)
}

// closesListeners reports whether the drain closes the listeners: not if it may be taken back.
func (s *scheduler) closesListeners() bool {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	return s.d.CloseListeners && s.drain.final
}

func (s *scheduler) closeListeners(now time.Time) {
	s.drain.closedAt, s.drain.settledAt = now, now
	for _, r := range s.runningServers() {
		r.closeAsDrainBegins()
	}
}

// closeListenersIfDue closes the listeners in a drain that has become final late, and that of a
// server that began to serve while the others' were closed.
func (s *scheduler) closeListenersIfDue() {
	if s.drain != nil && (s.hasPlan() || !s.drain.closedAt.IsZero()) && s.closesListeners() {
		for _, r := range s.runningServers() {
			r.closeAsDrainBegins()
		}
	}
}

func (s *scheduler) runningServers() []*running {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	return slices.Clone(s.d.running)
}

// youngestUnused returns when the last of the connections was accepted that may be about to send
// their first request, zero if there are none.
func (s *scheduler) youngestUnused(now time.Time) (youngest time.Time) {
	for _, r := range s.runningServers() {
		r.unused.Range(func(_, accepted any) bool {
			if at := accepted.(time.Time); now.Sub(at) < firstRequestWait && at.After(youngest) {
				youngest = at
			}
			return true
		})
	}
	return youngest
}

// waitAgain is called when a connection has sent its first request, or was closed before. The drain
// looks again whether it has to wait for others.
func (s *scheduler) waitAgain() {
	if dr := s.drain; dr != nil && dr.plan == nil && !dr.closedAt.IsZero() {
		now := time.Now()
		dr.settledAt, dr.announceEnd = now, now
	}
}
