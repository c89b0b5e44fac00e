package middleware

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A Drainer ends the responses of one or more servers in order. The zero Drainer
// is ready to use; it must not be copied after first use, and its fields must
// not change after the first call of [Graceful] with it. Its methods may be
// called concurrently.
//
// It drains once. A Drainer that has begun stays draining for good: later
// requests are refused, later calls of Start do nothing.
type Drainer struct {
	// Policy tells which rule a request has. It is asked once per request, at
	// its beginning. Nil means policy.Rule{} for all.
	Policy policy.Policy
	// Budget is the whole time that the drain may take. Zero means 25 s in all,
	// no announce, and 2 s of it kept in reserve.
	Budget policy.Budget
	// Refusal answers the requests that come after the drain has stopped
	// admitting. Nil means 503 with Retry-After, and for an EventSource a 200
	// that tells it when to come back: it gives up for good on anything else.
	// The header has Connection: close already. A request that Refusal answers
	// counts as refused, and isn't waited for.
	Refusal http.Handler
	// Logger gets a line when the drain begins, one a second while it goes on,
	// one for each response that had to be cut, and one with the outcomes at
	// its end. A handler of it that blocks blocks the drain. Nil means silent.
	Logger *slog.Logger

	registry stream.Registry
	slots    atomic.Uint64 // handed out to those refused

	once  sync.Once     // makes following
	began chan struct{} // closed when the drain begins
	haste chan struct{} // closed when everything is to be cut at once
	done  chan struct{} // closed when the drain is over
	poke  chan struct{} // holds one: something is in changed

	beginOnce, hasteOnce sync.Once
	isDraining           atomic.Bool

	mu      sync.Mutex // guards following; taken before a registry's locks
	phase   Phase
	startAt time.Time
	endAt   time.Time
	found   stream.Tally
	ends    []End
	changed []*stream.Entry // whose kind changed after they were planned
}

func (d *Drainer) init() {
	d.once.Do(func() {
		d.began, d.haste, d.done = make(chan struct{}), make(chan struct{}), make(chan struct{})
		d.poke = make(chan struct{}, 1)
		d.registry.OnChange = d.kindChanged
	})
}

// Check tells everything that is wrong with the Drainer's policy and budget, and
// every rule that can't fit: nil, or an error with a line for each. [Graceful]
// panics with the same error, and Run returns it; call Check first to report it
// in a way of your own.
func (d *Drainer) Check() error { return policy.Check(d.Policy, d.Budget) }

// Start begins the drain and returns at once; [Drainer.Shutdown] waits for its
// end. Only the first call counts. It fits http.Server.RegisterOnShutdown:
//
//	srv.RegisterOnShutdown(d.Start)
//	// on the signal:
//	err := errors.Join(srv.Shutdown(ctx), d.Shutdown(ctx))
//
// The drain ends within the Budget, whether or not anybody waits for it. Called
// through http.Server.Shutdown an announcement only takes time, since that has
// closed the listener already; [Drainer.Run] keeps it open.
func (d *Drainer) Start() { d.begin(time.Time{}) }

// Shutdown begins the drain, unless it has begun, and waits until it is over.
//
// It returns nil when every handler has returned and every hijacked connection
// is closed: the caller can then close what its handlers used. What had to be
// cut by force on the way there is in the [Report]. Otherwise the error is an
// [*IncompleteError]: it names the handlers that were still running when the
// drain gave them up, and, when ctx ended first, what was cut for that. When ctx
// ends, Shutdown cuts everything and returns within half of the budget's reserve
// (1 s at most, unless Budget.Reserve says more).
//
// A deadline of ctx that comes before the budget's end shortens the drain, if
// this call begins it. Don't hand in the context that the signal has cancelled:
// it has no time left, and everything would be cut at once.
func (d *Drainer) Shutdown(ctx context.Context) error {
	if ctx.Err() != nil && !d.draining() {
		d.log(slog.LevelWarn, "shutdown was given a context that is already over, so everything is cut at once; give it a new one with a deadline")
	}
	limit, _ := ctx.Deadline()
	d.begin(limit)
	select {
	case <-d.done:
		return d.verdict(nil)
	default:
	}
	select {
	case <-d.done:
		return d.verdict(nil)
	case <-ctx.Done():
		d.hurry()
		<-d.done
		return d.verdict(ctx.Err())
	}
}

// Close cuts everything now and waits until the handlers have returned, for as
// long as half of the budget's reserve (1 s at most, unless Budget.Reserve says
// more).
// It may be called while Shutdown or Run is under way, which then return too.
// The error is nil or an [*IncompleteError] that names what still ran.
func (d *Drainer) Close() error {
	d.init()
	d.hurry()
	d.begin(time.Time{})
	<-d.done
	return d.verdict(nil)
}

// Draining gives a channel that is closed when the drain begins, before its
// announcement: the server isn't ready any more. When it is one response's own
// turn to wind up, [stream.Draining] tells its handler.
func (d *Drainer) Draining() <-chan struct{} {
	d.init()
	return d.began
}

// Readiness answers 200 while the server is ready and 503 from the drain's first
// moment. Mount it where the load balancer looks; inside or outside of Graceful
// makes no difference to it. A liveness probe is another thing: it must go on
// being answered 200 throughout, so mount it outside.
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

// ConnContext fits http.Server.ConnContext. With it a cut can close an HTTP/1
// connection under a handler that neither reads nor writes; without it such a
// client learns nothing until the handler returns or the server is closed.
// [Drainer.Run] sets it.
func (d *Drainer) ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func (d *Drainer) draining() bool { return d.isDraining.Load() }

func (d *Drainer) begin(limit time.Time) {
	d.init()
	d.beginOnce.Do(func() {
		d.registry.Mark()
		found := d.registry.Counts().Open
		d.mu.Lock()
		d.startAt, d.found, d.phase = time.Now(), found, Announcing
		d.mu.Unlock()
		d.isDraining.Store(true)
		close(d.began)
		go newConductor(d, limit).run(found)
	})
}

// hurry has everything cut.
func (d *Drainer) hurry() { d.hasteOnce.Do(func() { close(d.haste) }) }

// kindChanged hands a response to the conductor for planning it anew.
func (d *Drainer) kindChanged(e *stream.Entry) {
	d.mu.Lock()
	d.changed = append(d.changed, e)
	d.mu.Unlock()
	select {
	case d.poke <- struct{}{}:
	default: // it has been poked already
	}
}

// end ends a response with its outcome.
func (d *Drainer) end(e *stream.Entry, o stream.Outcome) {
	if o != stream.Cut || e.Ended() {
		e.End(o)
		return
	}
	end := endOf(e)
	d.logEnd("cut", end)
	// The lock makes the drain's end, which End may bring about, wait for the note.
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.End(o) {
		d.ends = append(d.ends, end)
	}
}

func (d *Drainer) log(level slog.Level, msg string, args ...any) {
	if d.Logger != nil {
		d.Logger.Log(context.Background(), level, msg, args...)
	}
}
