package middleware

import (
	"context"
	"errors"
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

// A Drainer ends the responses of one or more servers in order. The zero Drainer is ready to use;
// it must not be copied after first use, and its fields must not change after the first call of
// [Graceful] with it. Its methods may be called concurrently.
//
// It drains once. A Drainer that has begun stays draining for good: later requests are refused,
// later calls of Start do nothing. Only what [Drainer.Drain] began can be taken back. While it
// serves, streams that have come to their rule's MaxAge are told goodbye, and so are those that
// [Drainer.Shed] picks.
type Drainer struct {
	// Policy says which rule a request has. It is asked once per request, at its beginning. Nil
	// means policy.Rule{} for all.
	Policy policy.Policy
	// Budget is the whole time that the drain may take. Zero means 25 s in all, no announcement,
	// and 2 s of it kept in reserve.
	Budget policy.Budget
	// Refusal answers the requests that come after the drain has stopped admitting. Nil means 503
	// with Retry-After, and for an EventSource a 200 that tells it when to come back: it gives up
	// for good on anything else. The header has Connection: close already. A request that Refusal
	// answers counts as refused, and isn't waited for.
	Refusal http.Handler
	// Logger gets a line when the drain begins, one a second while it goes on, one for each
	// response that had to be cut, and one with the outcomes at its end, or one that it was taken
	// back. Cuts, and what looks like a mistake in the program, are warnings, the rest is
	// information. Its handler must not block, which would hold up the drain, and must not call the
	// Drainer's methods. Nil means silent.
	Logger *slog.Logger

	registry  tracked.Registry
	scheduler *scheduler
	ages      atomic.Uint64 // counts the streams that end by their age
	refusals  atomic.Uint64 // counts the reconnect slots of those refused

	once        sync.Once
	wrapped     atomic.Bool // Graceful was called
	warnNoConn  sync.Once
	isDraining  atomic.Bool
	serving     atomic.Int32  // calls of Run whose serve has not returned
	finalBegins chan struct{} // closed when there is a drain that can't be taken back

	mu      sync.Mutex    // guards following, and what drain says; taken before a registry's locks
	began   chan struct{} // closed while draining
	current *drain        // nil while serving
}

func (d *Drainer) init() {
	d.once.Do(func() {
		d.scheduler, d.began, d.finalBegins = newScheduler(d), make(chan struct{}), make(chan struct{})
		// Replicas must not give their first clients all the same slot, nor their first streams all
		// the same age.
		d.refusals.Store(rand.Uint64())
		d.ages.Store(rand.Uint64())
		d.registry.OnChange = func(r *tracked.Response) {
			d.scheduler.post(func() { d.scheduler.changed(r) })
		}
	})
}

// Check returns everything that is wrong with the Drainer's policy and budget, and every rule that
// can't fit: nil, or an error with a line for each. [Graceful] panics with the same error, and Run
// returns it; call Check first to report it in a way of your own.
func (d *Drainer) Check() error { return policy.Check(d.Policy, d.Budget) }

// Start begins the drain and returns at once; [Drainer.Shutdown] waits for its end. Only the first
// call counts. It fits http.Server.RegisterOnShutdown:
//
//	srv.RegisterOnShutdown(d.Start)
//	// on the signal:
//	err := errors.Join(srv.Shutdown(ctx), d.Shutdown(ctx))
//
// The drain ends within the Budget, whether or not anybody waits for it. Called through
// http.Server.Shutdown an announcement only takes time, since that has closed the listener already;
// [Drainer.Run] keeps it open.
func (d *Drainer) Start() { d.begin(time.Time{}, true) }

// ErrFinal is what [Drainer.Resume] returns when the drain can't be taken back.
var ErrFinal = errors.New("middleware: the drain is final: it was begun, or taken on, by Start, Shutdown, Run or Close; " +
	"only what Drain began can be taken back")

// Drain begins a drain that [Drainer.Resume] can take back, and returns at once. In all else it is
// as Start; a drain that has begun is left as it is. When nothing is left the drain is over, and
// the server goes on refusing requests until Resume or Shutdown. Start, Shutdown, Run or Close make
// it final at any time; its budget runs from the call of Drain all the same.
func (d *Drainer) Drain() { d.begin(time.Time{}, false) }

// Resume takes back a drain that Drain began. The request that asks for it must not come through
// [Graceful], which refuses it. The server is ready again when Resume returns, and what has not
// been told yet stays, with nothing planned for it any more. Streams that were told end as they
// would have, and so does a finite response whose context has been canceled; one that only heard of
// the drain by stream.Draining has heard. In the [Report] the responses that the drain ended are
// among those that ended before.
//
// Resume returns nil when the server serves, also when there was nothing to take back, and
// [ErrFinal] when the drain can't be taken back.
func (d *Drainer) Resume() error {
	d.init()
	answer := make(chan error, 1)
	if !d.scheduler.post(func() { answer <- d.scheduler.resume() }) {
		return ErrFinal
	}
	return <-answer
}

// Shutdown begins the drain, unless it has begun, and waits until it is over.
//
// It returns nil when every handler has returned and every hijacked connection is closed: the
// caller can then close what its handlers used. What had to be cut by force on the way there is in
// the [Report]. Otherwise the error is an [*IncompleteError]: it names the handlers that were still
// running when the drain gave them up, and, when ctx ended first, all that was cut. When ctx ends,
// Shutdown cuts everything and returns within half of the budget's reserve (1 s at most, unless
// Budget.Reserve says more).
//
// A deadline of ctx that comes before the budget's end shortens the drain, if this call begins it.
// Don't hand in the context that the signal has canceled: it has no time left, and everything would
// be cut at once. Nor call it from a handler under d, which it would wait for: Start doesn't.
func (d *Drainer) Shutdown(ctx context.Context) error {
	if ctx.Err() != nil && !d.draining() {
		d.log(slog.LevelWarn, "shutdown was given a context that is already over, so everything is cut at once; "+
			"give it a new one with a deadline")
	}
	limit, _ := ctx.Deadline()
	r := d.begin(limit, true)
	if isClosed(r.done) { // a drain that is over is no less so because ctx is
		return d.err(r, nil)
	}
	select {
	case <-r.done:
		return d.err(r, nil)
	case <-ctx.Done():
		d.scheduler.post(d.scheduler.cutAll)
		<-r.done
		return d.err(r, ctx.Err())
	}
}

// Close cuts everything now and waits until the handlers have returned, for as long as half of the
// budget's reserve (1 s at most, unless Budget.Reserve says more). It may be called while Shutdown
// or Run is under way, which then return too. The error is nil or an [*IncompleteError] that names
// what still ran.
func (d *Drainer) Close() error {
	r := d.begin(time.Time{}, true)
	d.scheduler.post(d.scheduler.cutAll)
	<-r.done
	return d.err(r, nil)
}

// Draining returns a channel that is closed when the drain begins, before its announcement: the
// server isn't ready any more. When it is one response's own time to wind up, [stream.Draining]
// tells its handler. After a drain that was taken back, ask again: the channel that was closed
// stays closed.
func (d *Drainer) Draining() <-chan struct{} {
	d.init()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.began
}

// Readiness answers 200 while the server is ready and 503 from the drain's first moment. Mount it
// where the load balancer looks, outside of Graceful: inside, it is refused as any other request
// once the drain admits no more, which comes to the same unless d.Refusal answers with another
// status. A liveness probe must go on being answered 200 throughout, so it has to be outside.
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

type connKey struct{}

// ConnContext fits http.Server.ConnContext. With it a cut can close an HTTP/1 connection under a
// handler that neither reads nor writes; without it such a client learns nothing until the handler
// returns or the server is closed. [Drainer.Run] sets it.
func (d *Drainer) ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func (d *Drainer) draining() bool { return d.isDraining.Load() }

// begin begins a drain, unless there is one, and returns it.
func (d *Drainer) begin(limit time.Time, final bool) *drain {
	d.init()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current == nil {
		d.registry.BeginCount()
		r := newDrain(d, limit)
		d.current = r
		d.isDraining.Store(true)
		close(d.began)
		d.scheduler.post(func() { d.scheduler.begin(r) })
	}
	r := d.current
	if final && !r.final {
		r.final = true
		close(d.finalBegins)
	}
	if r.final && r.phase == Done {
		d.scheduler.close()
	}
	return r
}

// end ends a response with its outcome.
func (d *Drainer) end(r *tracked.Response, o tracked.Outcome) {
	if o != tracked.Cut || r.Ended() {
		r.End(o)
		return
	}
	a := abortedNow(r)
	d.logAborted("cut", a)
	d.abort(r, a)
}

// abort ends a response as one that was cut, and notes it for the drain's report.
func (d *Drainer) abort(r *tracked.Response, a Aborted) {
	// The lock makes the drain's end, which End may bring about, wait for the note.
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.End(tracked.Cut) && d.current != nil {
		d.current.aborted = append(d.current.aborted, a)
	}
}

func (d *Drainer) log(level slog.Level, msg string, args ...any) {
	if d.Logger != nil {
		d.Logger.Log(context.Background(), level, msg, args...)
	}
}
