package middleware

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// A Drainer ends the responses of one or more servers in order, once: after its drain it refuses
// all requests for good, unless [Drainer.Resume] takes back what [Drainer.Drain] began.
//
// The zero Drainer is ready to use. It must not be copied after first use, and its fields must not
// change after the first call of [Graceful] with it. Its methods may be called concurrently.
type Drainer struct {
	// Policy gives each request its rule. It is asked once per request, before the handler runs.
	// Nil means policy.Rule{} for all.
	Policy policy.Policy
	// Budget is the whole time that the drain may take. Zero means 25 s in all, of which 2 s are in
	// reserve, and no announcement.
	Budget policy.Budget
	// CloseListeners has Run close the listeners as soon as the announcement is over. It is for
	// sockets on which another process accepts, inherited or with SO_REUSEPORT: all newcomers then
	// go there, and none is refused here. Connections that were accepted just before have up to a
	// second for their first request, which is served. Idle ones are closed at that moment, as by
	// http.Server.Shutdown, and the others behind their response.
	//
	// serve gets an error that is [net.ErrClosed] from http.Server.Serve and the like; for Run that
	// is none. Where nobody else accepts, probes find the port closed. A drain that
	// [Drainer.Drain] began closes the listeners when it becomes final.
	CloseListeners bool
	// Refusal answers the requests that come after the drain has stopped admitting. Their responses
	// have Connection: close already, count as refused, and aren't waited for. Nil means the status
	// unavailable for a call of gRPC, gRPC-Web or Connect, in its protocol, [sse.Refuse] for a
	// request that [sse.Accepts], and 503 with Retry-After for all others.
	Refusal http.Handler
	// Logger gets a line when the drain begins, one a second while it goes on, one for each
	// response that is cut, and one when it ends or is taken back. Cuts and likely mistakes of the
	// program are warnings. Its handler must not block, which would hold up the drain, and must not
	// call the Drainer's methods. If it panics, its line is lost. Nil means silent.
	Logger *slog.Logger
	// ReportFile is where the final [Report] is written when the drain is over: as JSON if its name
	// ends in .json, else as text for people, which Kubernetes shows in kubectl describe pod if the
	// file is /dev/termination-log. What the file had is overwritten, and errors are logged. The
	// drain waits for the write, so it must be a plain file on a disk. Empty means none.
	ReportFile string
	// RedactRemote gives what reports say of a client in place of its address, the request's
	// RemoteAddr: "", say. Nil means the address. It must not block. Logs have no addresses.
	RedactRemote func(addr string) string

	// Observe, if set, is called twice for each response, with no more than its route, kind, format
	// and times: when its first byte goes out, and when it ends. It is made for metrics, see
	// [Observation] and the modules under middleware/metrics. It must not block, which would hold
	// up the response and the drain, and must not call the Drainer's methods or use the response.
	// It is called concurrently, on goroutines of handlers and of the drain, and the drain isn't
	// over before it has returned. A panic of it is caught and logged. Nil costs nothing.
	Observe func(Observation)

	registry       tracked.Registry
	scheduler      *scheduler
	lastAgeNumber  atomic.Uint64 // last given to a stream that ends by its age; the first is random
	lastSlotNumber atomic.Uint64 // last given with a reply to come back later; the first is random

	once         sync.Once
	wrapped      atomic.Bool                   // Graceful was called
	handlers     atomic.Int32                  // that Graceful has wrapped
	onlyMux      atomic.Pointer[http.ServeMux] // the only one of them, if it is one; see pattern.go
	warnNoConn   sync.Once
	warnNested   sync.Once
	badLogger    sync.Once              // for the word on a Logger that panics
	signal       atomic.Pointer[string] // that NotifyContext has received
	isDraining   atomic.Bool
	closingConns atomic.Bool   // a servedConn is closing, or was
	serveCalls   atomic.Int32  // calls of Run whose serve function has not returned
	madeFinal    chan struct{} // closed, under mu, when the drain can't be taken back any more

	mu         sync.Mutex                   // guards following, and drain's fields that say so; taken before a registry's locks
	drainBegan chan struct{}                // closed when a drain begins; made anew by Resume
	givenUp    map[*tracked.Response]*drain // whose handlers ran on when this drain ended, and do so still
	current    *drain                       // nil: none has begun, or Resume took it back
	hinted     map[string]bool              // the routes of which a hint was logged
	running    []*runningServer             // the servers that RunAll serves
	failure    error                        // of the first of them that failed

	watched struct { // what Watch yielded last
		sync.Mutex // held while a report is made; taken before mu; guards following
		of         *drain
		over       bool // of was
		report     Report
		next       time.Time // when another one may be made
	}
}

func (d *Drainer) init() {
	d.once.Do(func() {
		d.scheduler = newScheduler(d)
		d.drainBegan, d.madeFinal = make(chan struct{}), make(chan struct{})
		// Replicas must not give their first clients all the same slot, nor their first streams all
		// the same age.
		d.lastSlotNumber.Store(rand.Uint64())
		d.lastAgeNumber.Store(rand.Uint64())
		d.registry.OnChange = func(r *tracked.Response) {
			d.scheduler.post(func() { d.scheduler.changed(r) })
		}
	})
}

// Check returns nil, or an error with a line for everything that is wrong with d's policy and
// budget, and for every rule that doesn't fit the budget. [Graceful] panics with the same error,
// Run returns it.
func (d *Drainer) Check() error { return policy.Check(d.Policy, d.Budget) }

// Start begins the drain and returns at once; [Drainer.Shutdown] waits for its end. Only the first
// call counts. The drain ends within the Budget, whether or not anybody waits for it. Start fits
// http.Server.RegisterOnShutdown:
//
//	srv.RegisterOnShutdown(d.Start)
//	// on the signal:
//	err := errors.Join(srv.Shutdown(ctx), d.Shutdown(ctx))
//
// http.Server.Shutdown closes the listener before it calls Start: nobody can connect any more, and
// an announcement is only a delay. [Drainer.Run] keeps the listener open.
func (d *Drainer) Start() { d.begin(time.Time{}, true, "Start was called") }

// ErrFinal is what [Drainer.Resume] returns when the drain can't be taken back.
var ErrFinal = errors.New("middleware: the drain is final, since Start, Shutdown, Run or Close was called; " +
	"only one that Drain alone began can be taken back")

// Drain is Start for a drain that [Drainer.Resume] can take back. When nothing is left, the server
// goes on refusing requests until Resume or Shutdown. A drain that has begun is left as it is.
// Start, Shutdown, Run or Close make it final; its budget still counts from the call of Drain.
func (d *Drainer) Drain() { d.begin(time.Time{}, false, "Drain was called") }

// Resume takes back a drain that Drain began: the server is ready again when Resume returns. It
// returns nil when the server serves, also when there was nothing to take back, and [ErrFinal] when
// the drain can't be taken back. The request that asks for it must not come through [Graceful],
// which refuses it.
//
// Streams whose farewell is on its way or sent still end at their times, and so do finite responses
// whose context is canceled. All others stay, but a channel of stream.Draining that is closed stays
// closed. The [Report] counts the responses that the drain ended in Before.
func (d *Drainer) Resume() error {
	d.init()
	answer := make(chan error, 1)
	if !d.scheduler.post(func() { answer <- d.scheduler.resume() }) {
		return ErrFinal
	}
	return <-answer
}

// Shutdown begins the drain, unless it has begun, and waits until it is over. It returns nil when
// every handler has returned and every hijacked connection is closed: the caller can then close
// what its handlers used. What was cut before is in the [Report]. Otherwise the error is an
// [*IncompleteError].
//
// When ctx ends, Shutdown cuts everything and returns within half of the budget's reserve (1 s,
// unless Budget.Reserve is set). A deadline of ctx that comes before the budget's end shortens the
// drain, if this call begins it. If ctx is canceled before the call, such as by the signal itself,
// everything is cut at once.
//
// A handler that Graceful wraps must call Start instead: Shutdown would wait for that handler.
func (d *Drainer) Shutdown(ctx context.Context) error {
	if ctx.Err() != nil && !d.draining() {
		d.log(slog.LevelWarn, "shutdown was given a context that is already over, so everything is cut at once; "+
			"give it a new one with a deadline")
	}
	return d.shutdown(ctx, "Shutdown was called")
}

// shutdown is Shutdown with the cause of the drain, if it begins one.
func (d *Drainer) shutdown(ctx context.Context, why string) error {
	limit, _ := ctx.Deadline()
	dr := d.begin(limit, true, why)
	var cause error
	if !isClosed(dr.done) { // else it is no error that ctx has ended
		select {
		case <-dr.done:
		case <-ctx.Done():
			cause = ctx.Err()
			d.scheduler.post(d.scheduler.cutAll)
			<-dr.done
		}
	}
	return d.errorOf(dr, cause)
}

// Close cuts everything now and waits until the handlers have returned, for half of the budget's
// reserve at most (1 s, unless Budget.Reserve is set). Shutdown and Run that are under way return
// too. The error is nil or an [*IncompleteError] that names the handlers that still ran.
func (d *Drainer) Close() error {
	dr := d.begin(time.Time{}, true, "Close was called")
	d.scheduler.post(d.scheduler.cutAll)
	<-dr.done
	return d.errorOf(dr, nil)
}

// Draining returns a channel that is closed when the server isn't ready any more: when the drain
// begins, before its announcement. [stream.Draining] is the channel of one response. After a drain
// that was taken back, call Draining again: the channel that was closed stays closed.
func (d *Drainer) Draining() <-chan struct{} {
	d.init()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.drainBegan
}

// Readiness answers 200 until the drain begins, and 503 from then on. Mount it outside of Graceful,
// which refuses it like any other request once the drain admits no more. A liveness probe has to be
// outside too, since it must be answered 200 throughout.
func (d *Drainer) Readiness() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if d.draining() {
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
}

// ConnContext fits http.Server.ConnContext, and [Drainer.Run] sets it. With it a cut can close an
// HTTP/1 connection under a handler that neither reads nor writes. Without it such a client learns
// nothing until the handler returns or the server is closed.
func (d *Drainer) ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, &servedConn{Conn: c})
}

func (d *Drainer) draining() bool { return d.isDraining.Load() }

// begin begins a drain, unless there is one, and returns the current one. A limit, if it isn't
// zero, shortens the drain that it begins, and cause is told as its cause, with a signal that has
// come. With final the drain, also one that had begun, can't be taken back any more.
func (d *Drainer) begin(limit time.Time, final bool, cause string) *drain {
	d.init()
	d.mu.Lock()
	defer d.mu.Unlock()
	dr := d.current
	if dr == nil {
		found := tally(d.registry.BeginCount())
		if s := d.signal.Load(); s != nil && *s != cause {
			cause = fmt.Sprintf("%s (%s)", cause, *s)
		}
		dr = newDrain(d, limit, cause, found)
		d.current = dr
		d.isDraining.Store(true)
		close(d.drainBegan)
		d.scheduler.post(func() { d.scheduler.beginDrain(dr) })
	}
	if final && !isClosed(d.madeFinal) {
		close(d.madeFinal)
		if d.CloseListeners {
			d.scheduler.post(d.scheduler.closeListenersIfDue)
		}
	}
	if isClosed(d.madeFinal) && dr.phaseLocked().phase == Done {
		d.scheduler.refuseTasks()
	}
	return dr
}

// endObserved ends a response with its outcome. Only the first call counts, and reports true. The
// response is open until the observer has returned: a drain that is over has been observed whole.
func (d *Drainer) endObserved(r *tracked.Response, o tracked.Outcome) bool {
	if d.Observe != nil {
		if !r.ClaimEnd() {
			return false
		}
		d.observeEnd(r, o)
	}
	return r.End(o)
}

// end ends a response with its outcome, and reports it as aborted if that is a cut.
func (d *Drainer) end(r *tracked.Response, o tracked.Outcome) {
	if _, ended := r.Outcome(); !ended && o == tracked.Cut {
		d.endCut(r, d.info(r), "cut")
	} else if !d.endObserved(r, o) { // a drain has given it up
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.givenUp, r)
	}
}

// endCut ends a response as one that was cut, logs that with msg and more, and adds i to the
// drain's report.
func (d *Drainer) endCut(r *tracked.Response, i ResponseInfo, msg string, more ...any) {
	d.log(slog.LevelWarn, msg, append([]any{"route", i.Route, "kind", i.Kind.String(), "format", string(i.Format),
		"age", i.Age, "idle", i.Idle}, more...)...)
	// r may be the last open response. The lock keeps the drain from ending before i is added.
	d.mu.Lock()
	defer d.mu.Unlock()
	switch ended := d.endObserved(r, tracked.Cut); {
	case !ended:
		delete(d.givenUp, r)
	case d.current != nil:
		d.current.aborted = append(d.current.aborted, i)
		if i.Running {
			if d.givenUp == nil {
				d.givenUp = map[*tracked.Response]*drain{}
			}
			d.givenUp[r] = d.current
		}
	}
}
