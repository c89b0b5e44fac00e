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

const (
	// firstRequestWait is how long after it was accepted a connection's first request is waited
	// for, before requests are refused and once its listener is closed.
	firstRequestWait = time.Second
	// settleWait is how long net/http has at least to tell of a connection that it has accepted,
	// and to call the handler of a request that it has read.
	settleWait = 300 * time.Millisecond
	// connectWait is how long after it was accepted a connection is closed unused at the soonest,
	// when the drain is over. A client that was just about to send its request may not notice that
	// before: Node.js's fetch then waits for an answer without end.
	connectWait = 100 * time.Millisecond
)

// A runningServer is a server that RunAll serves.
type runningServer struct {
	Server
	d *Drainer

	// unused holds the connections on which no byte has come, and when they were accepted: those
	// that browsers open in advance, and load balancers' probes. http.Server.Shutdown would wait
	// more than five seconds for each.
	unused sync.Map

	mu        sync.Mutex     // guards following
	listeners []net.Listener // that the server accepts on
	closed    bool           // closeListeners was called
}

// newRunningServer returns s with its functions for connections and listeners set.
func newRunningServer(d *Drainer, s Server) *runningServer {
	r := &runningServer{Server: s, d: d}
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
		r.addListener(l)
		if baseContext != nil {
			return baseContext(l)
		}
		return context.Background()
	}
	return r
}

func (r *runningServer) connState(c net.Conn, state http.ConnState) {
	if state == http.StateNew {
		r.unused.Store(c, time.Now())
	} else if _, was := r.unused.LoadAndDelete(c); was && r.d.CloseListeners && r.d.draining() {
		r.d.scheduler.post(r.d.scheduler.connSettled)
	}
}

// callServe calls Serve. It runs on a goroutine of ours, where a panic of a listener or of a
// ConnState function would end the process in the middle of its responses. What it returns once its
// listener was closed is http.ErrServerClosed.
func (r *runningServer) callServe() (err error) {
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

// addListener is called before the server accepts on l.
func (r *runningServer) addListener(l net.Listener) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listeners = append(r.listeners, l)
	if r.closed {
		_ = l.Close()
	}
}

// closeListeners closes the server's listeners. http.Server.Shutdown would do the same, but also
// drop the first request of a connection that was accepted just before.
func (r *runningServer) closeListeners() {
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

// unusedUntil returns when the youngest of the unused connections will have been open for so long,
// zero if there is none.
func (r *runningServer) unusedUntil(open time.Duration) (until time.Time) {
	r.unused.Range(func(_, accepted any) bool {
		if at := accepted.(time.Time).Add(open); at.After(until) {
			until = at
		}
		return true
	})
	return until
}

// close shuts the server down once the drain is over. Connections that were accepted just now have
// time for their first request, which is refused, unless the drain was hurried: a request that
// comes after http.Server.Shutdown was called gets no answer. Busy connections may stay until ctx
// ends. close reports whether none was busy then.
func (r *runningServer) close(ctx context.Context, hurried bool) bool {
	r.closeListeners()
	if wait := time.Until(r.unusedUntil(connectWait)); wait > 0 && !hurried {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	r.unused.Range(func(c, _ any) bool {
		if _, still := r.unused.LoadAndDelete(c); still {
			closeHard(c.(net.Conn))
		}
		return true
	})
	idle := r.HTTP.Shutdown(ctx) == nil
	_ = r.HTTP.Close() // what Shutdown left; its error is that of a listener closed twice
	return idle
}

// addRunning adds servers to those whose listeners the drain may have to close.
func (d *Drainer) addRunning(all []*runningServer) {
	d.serveCalls.Add(int32(len(all)))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running = append(d.running, all...)
	if d.CloseListeners && d.current != nil {
		d.scheduler.post(d.scheduler.closeListenersIfDue)
	}
}

func (d *Drainer) removeRunning(all []*runningServer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running = slices.DeleteFunc(d.running, func(r *runningServer) bool { return slices.Contains(all, r) })
}

// settleListeners closes the listeners, if they are to be closed, and reports whether the
// announcement may end. Connections that were accepted before have time for their first request,
// which is served; planAll takes that time from the drain's.
func (s *scheduler) settleListeners(now time.Time) bool {
	dr := s.drain
	if !s.mustCloseListeners() {
		return true
	}
	if dr.closedAt.IsZero() {
		dr.closedAt, dr.settledAt = now, now
		s.closeListeners()
	}
	dr.announceEnd = dr.settledAt.Add(settleWait)
	for _, r := range s.runningServers() {
		if until := r.unusedUntil(firstRequestWait); until.After(dr.announceEnd) {
			dr.announceEnd = until
		}
	}
	dr.announceEnd = earlier(dr.announceEnd, dr.closedAt.Add(min(firstRequestWait+settleWait, dr.work/4)))
	return !now.Before(dr.announceEnd)
}

// mustCloseListeners reports whether the drain closes the listeners: not if it may be taken back.
func (s *scheduler) mustCloseListeners() bool { return s.d.CloseListeners && isClosed(s.d.madeFinal) }

// closeListeners closes the servers' listeners and their idle connections.
func (s *scheduler) closeListeners() {
	for _, r := range s.runningServers() {
		r.closeListeners()
		s.d.guard("closing idle connections", func() { r.HTTP.SetKeepAlivesEnabled(false) })
	}
}

// closeListenersIfDue closes the listeners in a drain that has become final late, and that of a
// server that began to serve while the others' were closed.
func (s *scheduler) closeListenersIfDue() {
	if s.drain != nil && (s.hasPlan() || !s.drain.closedAt.IsZero()) && s.mustCloseListeners() {
		s.closeListeners()
	}
}

func (s *scheduler) runningServers() []*runningServer {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	return slices.Clone(s.d.running)
}

// connSettled is called when a connection has sent its first request, or was closed before. The
// drain looks again whether it has to wait for others.
func (s *scheduler) connSettled() {
	if dr := s.drain; dr != nil && dr.plan == nil && !dr.closedAt.IsZero() {
		now := time.Now()
		dr.settledAt, dr.announceEnd = now, now
	}
}
