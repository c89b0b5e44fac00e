package middleware

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A Phase is how far a drain has come: as far as the response that is furthest.
type Phase string

const (
	Serving    Phase = "serving"    // no drain has begun
	Announcing Phase = "announcing" // not ready any more, but nothing is refused or ended yet
	Draining   Phase = "draining"   // farewells go out, finite responses go on
	Canceling  Phase = "canceling"  // the first contexts have been canceled
	Cutting    Phase = "cutting"    // the first connections have been closed by force
	Done       Phase = "done"       // over
)

var phases = []Phase{Serving, Announcing, Draining, Canceling, Cutting, Done}

// A Report says what became of the responses, and of the tasks that were handed to [Drainer.Go],
// which count as responses here. Each is counted in exactly one of Before, Open and the six
// outcomes. In JSON, durations are nanoseconds, and a kind is a word.
type Report struct {
	Phase Phase
	Cause string        // what began the drain: a signal, a call, or which server failed, and with what
	Began time.Time     // zero while serving
	Took  time.Duration // since Began, up to the drain's end; zero while serving

	Before   Outcomes // of responses that ended before the drain began
	Found    Tally    // open when the drain began
	Open     Tally    // open now
	Outcomes          // of responses that were open when the drain began or came after

	Aborted []Aborted // cut by the drain, in the order of their ends

	// These hint at a wrong Kind in a rule. The log names each route once.
	Streaming int // finite responses that were still streaming when the drain canceled them: are they Infinite?
	Swallowed int // streams whose handler wrote on after the farewell and ended by itself: are they Finite?
}

// Outcomes counts responses by how they ended. Each has exactly one outcome. The zero Outcomes
// counts none.
type Outcomes struct {
	Completed  uint64 // by itself
	Told       uint64 // its farewell was written and it ended as its rule's Ending says; a WebSocket's peer answered with its Close
	Unanswered uint64 // its farewell was written, but the WebSocket's peer didn't answer
	Canceled   uint64 // by its context, without a farewell
	Cut        uint64 // its connection was closed, or its body broken off, by force
	Refused    uint64 // it came too late and was never begun

	// Broken are those of Told whose connection was broken behind the farewell, since their client
	// would take a clean end for the last word: see [policy.Rule].Ending.
	Broken uint64
}

// All returns the sum of the counts. Those that are in Broken are in Told already.
func (o Outcomes) All() uint64 {
	return o.Completed + o.Told + o.Unanswered + o.Canceled + o.Cut + o.Refused
}

func outcomesOf(c tracked.Counts) Outcomes {
	return Outcomes{
		Completed: c[tracked.Completed], Told: c[tracked.Told] + c[tracked.ToldBroken], Unanswered: c[tracked.Unanswered],
		Canceled: c[tracked.Canceled], Cut: c[tracked.Cut], Refused: c[tracked.Refused], Broken: c[tracked.ToldBroken],
	}
}

// A Tally counts open responses. The zero Tally counts none.
type Tally struct {
	Finite    int // will end by themselves, or their kind is undecided
	SSE       int // streams that speak SSE
	WebSocket int // streams that speak WebSocket
	Other     int // all other streams
	Tasks     int // no responses, but tasks that were handed to Drainer.Go
}

// All returns the sum of the counts.
func (t Tally) All() int { return t.Finite + t.SSE + t.WebSocket + t.Other + t.Tasks }

// attrs returns the counts for a line in the log, that of the tasks where there are any.
func (t Tally) attrs() []any {
	attrs := []any{"finite", t.Finite, "sse", t.SSE, "websocket", t.WebSocket, "other", t.Other}
	if t.Tasks > 0 {
		attrs = append(attrs, "tasks", t.Tasks)
	}
	return attrs
}

func tally(open []*tracked.Response) (t Tally) {
	for _, r := range open {
		switch format := stream.Format(r.Format()); {
		case format == stream.Task:
			t.Tasks++
		case r.Kind() != policy.Infinite:
			t.Finite++
		case format == stream.SSE:
			t.SSE++
		case format == stream.WebSocket:
			t.WebSocket++
		default:
			t.Other++
		}
	}
	return t
}

// Aborted is what is known of a response that had to be cut.
type Aborted struct {
	Route    string // method, path and pattern, see [stream.Response.Route]
	Kind     policy.Kind
	Format   stream.Format
	Age      time.Duration // since it began
	Idle     time.Duration // since its last byte
	Hijacker string        // the function that hijacked its connection, which nobody has closed since its handler returned; else empty
	Running  bool          // the handler hadn't returned, or its hijacked connection wasn't closed, when the drain gave up
}

// String returns a description in a few words.
func (a Aborted) String() string {
	hijacker := ""
	if a.Hijacker != "" {
		hijacker = ", hijacked by " + a.Hijacker
	}
	return fmt.Sprintf("%s (%s %s, %s old, idle for %s%s)", a.Route, a.Kind, a.Format,
		a.Age.Round(time.Millisecond), a.Idle.Round(time.Millisecond), hijacker)
}

// newAborted returns what is known now of a response that is being cut.
func newAborted(r *tracked.Response) Aborted {
	kind := r.Kind()
	if kind == policy.Auto { // the drain ends it as it does a finite one
		kind = policy.Finite
	}
	return Aborted{Route: r.Route(), Kind: kind, Format: stream.Format(r.Format()), Age: r.Age(), Idle: r.Idle(), Hijacker: forgotten(r)}
}

// Report returns the phase and the counts as they are now. It visits every open response: ten calls
// a second are fine, one for each request is not.
func (d *Drainer) Report() Report {
	before, since, open := d.registry.Counts()
	d.mu.Lock()
	defer d.mu.Unlock()
	report := Report{Phase: Serving, Before: outcomesOf(before), Open: tally(open), Outcomes: outcomesOf(since)}
	dr := d.current
	if dr == nil {
		return report
	}
	report.Phase, report.Cause, report.Began, report.Found = dr.phase, dr.cause, dr.began, dr.found
	report.Aborted = slices.Clone(dr.aborted)
	report.Streaming, report.Swallowed = dr.streaming, dr.swallowed
	report.Took = dr.ended.Sub(dr.began)
	if dr.ended.IsZero() {
		report.Took = time.Since(dr.began)
	}
	return report
}

// An IncompleteError says what a drain had to cut, and why it ended early if it did.
type IncompleteError struct {
	Cause   error     // the error of the context that ended before the drain did; nil: none did
	Cut     []Aborted // cut; their handlers have returned
	Running []Aborted // cut; their handlers still run, so what they use must not be closed yet
}

// Error names the cause, and up to four responses each of Running and Cut.
func (e *IncompleteError) Error() string {
	var parts []string
	if e.Cause != nil {
		parts = append(parts, fmt.Sprintf("ended early: %v", e.Cause))
	}
	var running, forgotten []Aborted
	for _, a := range e.Running {
		if a.Hijacker != "" {
			forgotten = append(forgotten, a)
		} else {
			running = append(running, a)
		}
	}
	if len(running) > 0 {
		parts = append(parts, fmt.Sprintf("%d still running, which must return when their context is canceled: %s",
			len(running), summary(running)))
	}
	if len(forgotten) > 0 {
		parts = append(parts, fmt.Sprintf("%d returned, but nobody closed the connection that they hijacked: %s",
			len(forgotten), summary(forgotten)))
	}
	if len(e.Cut) > 0 {
		parts = append(parts, fmt.Sprintf("%d cut: %s", len(e.Cut), summary(e.Cut)))
	}
	return "middleware: drain incomplete: " + strings.Join(parts, "; ")
}

// Unwrap returns the Cause.
func (e *IncompleteError) Unwrap() error { return e.Cause }

// mostNamed is how many responses are named together; the others are counted.
const mostNamed = 4

func summary(all []Aborted) string {
	var names []string
	for _, a := range all[:min(mostNamed, len(all))] {
		names = append(names, a.String())
	}
	if n := len(all) - mostNamed; n > 0 {
		names = append(names, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(names, ", ")
}

// errorOf returns the error of a drain that is over, or nil. cause is the error of the caller's
// context, if that ended first.
func (d *Drainer) errorOf(dr *drain, cause error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := &IncompleteError{Cause: cause}
	for _, a := range dr.aborted {
		if a.Running {
			e.Running = append(e.Running, a)
		} else {
			e.Cut = append(e.Cut, a)
		}
	}
	for r, of := range d.givenUp {
		if of != dr { // it was taken back
			a := newAborted(r)
			a.Running = true
			e.Running = append(e.Running, a)
		}
	}
	if len(e.Running) > 0 || cause != nil && len(e.Cut) > 0 {
		return e
	}
	return nil
}

func (d *Drainer) logAborted(msg string, a Aborted, more ...any) {
	d.log(slog.LevelWarn, msg, append([]any{"route", a.Route, "kind", a.Kind.String(), "format", string(a.Format),
		"age", a.Age, "idle", a.Idle}, more...)...)
}

func (d *Drainer) logProgress(left time.Duration) {
	d.log(slog.LevelInfo, "draining", append(tally(d.registry.Open()).attrs(), "left", left.Round(time.Millisecond))...)
}

func (d *Drainer) logOutcomes() {
	r := d.Report()
	d.log(slog.LevelInfo, "drain ends", "took", r.Took,
		"completed", r.Completed, "told", r.Told, "unanswered", r.Unanswered,
		"canceled", r.Canceled, "cut", r.Cut, "refused", r.Refused)
}
