package middleware

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"path"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// Go calls f on a goroutine of its own, for work that goes on when the handler has returned, and
// that the drain has to wait for:
//
//	func order(w http.ResponseWriter, r *http.Request) {
//		// ...
//		err := d.Go(r.Context(), func(ctx context.Context) { sendReceipt(ctx, o) })
//		// ...
//	}
//
// The drain treats it as a finite response. Its context has the values of ctx without its cancel
// and deadline: it ends with the cause [stream.ErrDraining] when the drain has to end f, and when f
// has returned. In f [stream.Draining] and [stream.Deadline] tell of the drain. Reports and logs
// name the task by the function and the line that called Go; if f doesn't return within the drain,
// the [IncompleteError] does.
//
// Of the rules, those given first standing above the others, Grace and Mercy count: without a Grace
// f has as long as the budget lasts. d.Policy isn't asked.
//
// Once the drain admits no more requests, Go takes a task only from a response or another task that
// has not ended, as ctx shows, and only while there is time left for it. Else it doesn't call f,
// and its error is [stream.ErrDraining] by [errors.Is]. A refused task counts as a refused
// response.
//
// A panic in f is caught and logged with its stack, as net/http does for a handler: one task must
// not take all other responses with it. Without d.Logger it is logged where the server logs its
// errors.
func (d *Drainer) Go(ctx context.Context, f func(ctx context.Context), rules ...policy.Rule) error {
	if f == nil {
		panic("middleware: Go was given a nil function")
	}
	d.init()
	rule := policy.Rule{Kind: policy.Finite}
	for _, r := range rules {
		rule = rule.Over(r)
	}
	t := new(task)
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	name := callerOfGo()
	if !t.BeginTask(&d.registry, own, name, &rule, t) {
		cancel()
		d.observeEnd(&t.Response, tracked.Refused)
		return fmt.Errorf("middleware: Go: the task of %s was refused: %w", name, stream.ErrDraining)
	}
	go t.run(d, f, cancel)
	return nil
}

// callerOfGo returns the function and line that called Go.
func callerOfGo() string {
	var pc [1]uintptr
	frame, _ := runtime.CallersFrames(pc[:runtime.Callers(3, pc[:])]).Next()
	return fmt.Sprintf("%s(%s:%d)", path.Base(frame.Function), path.Base(frame.File), frame.Line)
}

func (d *Drainer) logPanic(t *task, v any, stack []byte) {
	if d.Logger != nil {
		d.log(slog.LevelError, "a task panicked", "route", t.Route(), "panic", fmt.Sprint(v), "stack", string(stack))
		return
	}
	logf := log.Printf
	if srv, ok := t.Context().Value(http.ServerContextKey).(*http.Server); ok && srv.ErrorLog != nil {
		logf = srv.ErrorLog.Printf
	}
	logf("middleware: panic in %s: %v\n%s", t.Route(), v, stack)
}

// A task is work that was handed to [Drainer.Go]. It has no client: nobody can be told, and nothing
// can be cut.
type task struct{ tracked.Response }

// run calls f and ends the task: deferred, since f may call runtime.Goexit.
func (t *task) run(d *Drainer, f func(context.Context), cancel context.CancelFunc) {
	defer func() {
		if v := recover(); v != nil {
			d.logPanic(t, v, debug.Stack())
		}
		cancel()
		t.ReleaseContext()
		outcome := tracked.Completed
		if t.Canceled() {
			outcome = tracked.Canceled
		}
		d.end(&t.Response, outcome)
	}()
	f(t.Context())
}

func (*task) Farewell(policy.Farewell, time.Duration) {}
func (*task) DropMessage()                            {}
func (*task) Finish()                                 {}
func (*task) Cut()                                    {}
func (*task) LastByte() time.Time                     { return time.Time{} }
