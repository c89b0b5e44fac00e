package middleware

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A Phase is how far a drain has come. Each response has its own clock; the
// phase is that of the one that is furthest.
type Phase uint8

const (
	Serving    Phase = iota // no drain has begun
	Announcing              // not ready any more, still serving
	Draining                // farewells go out, finite responses go on
	Cancelling              // the first contexts have been cancelled
	Cutting                 // the first connections have been closed by force
	Done                    // over
)

var phases = []string{"serving", "announcing", "draining", "cancelling", "cutting", "done"}

// String gives the phase's word, such as "draining", and "Phase(n)" for a value
// that is none of them.
func (p Phase) String() string {
	if int(p) < len(phases) {
		return phases[p]
	}
	return fmt.Sprintf("Phase(%d)", uint8(p))
}

// MarshalText implements [encoding.TextMarshaler] with the words of String. It
// fails on an unknown value.
func (p Phase) MarshalText() ([]byte, error) {
	if int(p) < len(phases) {
		return []byte(phases[p]), nil
	}
	return nil, fmt.Errorf("middleware: phase %d is unknown; use Serving to Done", uint8(p))
}

// UnmarshalText implements [encoding.TextUnmarshaler] for the words of String.
// On an error p is unchanged.
func (p *Phase) UnmarshalText(text []byte) error {
	i := slices.Index(phases, string(text))
	if i < 0 {
		return fmt.Errorf("middleware: phase %.40q is unknown; use one of %s", text, strings.Join(phases, ", "))
	}
	*p = Phase(i)
	return nil
}

// A Report says what became of the responses. Every response has its place in
// exactly one of Before, Open and the six outcomes. It can be written as JSON:
// times are nanoseconds there, phase, kind and protocol are words.
type Report struct {
	Phase Phase
	Began time.Time     // zero while serving
	Took  time.Duration // since Began, up to the drain's end; zero while serving

	// Before counts those that ended before the drain began. Of these some may
	// have been told too, by their age, by [Drainer.Shed], or by a drain that was
	// taken back.
	Before stream.Outcomes
	Found  stream.Tally // open when the drain began
	Open   stream.Tally // open now

	// How those ended that were open when the drain began or came after: see
	// [stream.Outcome]. So Report.All is the number of these, not of all responses.
	stream.Outcomes

	// Ends are the responses that the drain had to cut, those first whose end
	// came first.
	Ends []End
}

// An End is what is known of a response that had to be cut.
type End struct {
	Route    string // the ServeMux pattern if one matched, else method and path
	Kind     policy.Kind
	Protocol stream.Protocol
	Age      time.Duration // since it began
	Idle     time.Duration // since its last byte
	Running  bool          // the handler hadn't returned, or not closed its hijacked connection, when the drain gave up
}

// String gives the end in a few words.
func (e End) String() string {
	return fmt.Sprintf("%s (%s %s, %s old, idle for %s)", e.Route, e.Kind, e.Protocol,
		e.Age.Round(time.Millisecond), e.Idle.Round(time.Millisecond))
}

func endOf(e *stream.Entry) End {
	kind := e.Kind()
	if kind == policy.Auto { // which a drain takes as finite
		kind = policy.Finite
	}
	return End{Route: e.Route(), Kind: kind, Protocol: e.Protocol(), Age: e.Age(), Idle: e.Idle()}
}

// Report tells how things stand. It may be called at any time, and visits every
// open response: ten times a second is fine, once a request is not.
func (d *Drainer) Report() Report {
	counts := d.registry.Counts()
	d.mu.Lock()
	defer d.mu.Unlock()
	report := Report{Before: counts.Before, Open: counts.Open, Outcomes: counts.Ended}
	r := d.current
	if r == nil {
		return report
	}
	report.Phase, report.Began, report.Found = r.phase, r.began, r.found
	report.Ends = append([]End(nil), r.ends...)
	if report.Took = r.ended.Sub(r.began); r.ended.IsZero() {
		report.Took = time.Since(r.began)
	}
	return report
}

// An IncompleteError says why a drain didn't end in order.
type IncompleteError struct {
	// Cause is the error of the context that ended before the drain did, nil
	// where none did.
	Cause error
	// Cut are the responses that were cut and have ended since.
	Cut []End
	// Running are those whose handlers ignored their cancelled context past the
	// cut. They may still use whatever handlers use.
	Running []End
}

// Error names the cause, and up to four responses of each sort.
func (e *IncompleteError) Error() string {
	var parts []string
	if e.Cause != nil {
		parts = append(parts, fmt.Sprintf("ended early: %v", e.Cause))
	}
	if len(e.Running) > 0 {
		parts = append(parts, fmt.Sprintf("%d still running, which must return when their context is cancelled: %s", len(e.Running), some(e.Running)))
	}
	if len(e.Cut) > 0 {
		parts = append(parts, fmt.Sprintf("%d cut: %s", len(e.Cut), some(e.Cut)))
	}
	return "middleware: drain incomplete: " + strings.Join(parts, "; ")
}

// Unwrap gives the Cause.
func (e *IncompleteError) Unwrap() error { return e.Cause }

func some(ends []End) string {
	const most = 4
	var names []string
	for _, e := range ends[:min(most, len(ends))] {
		names = append(names, e.String())
	}
	if n := len(ends) - most; n > 0 {
		names = append(names, fmt.Sprintf("and %d more", n))
	}
	return strings.Join(names, ", ")
}

// verdict is what a finished drain's waiters are told.
func (d *Drainer) verdict(r *drain, cause error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := &IncompleteError{Cause: cause}
	for _, end := range r.ends {
		if end.Running {
			e.Running = append(e.Running, end)
		} else {
			e.Cut = append(e.Cut, end)
		}
	}
	if len(e.Running) > 0 || cause != nil && len(e.Cut) > 0 {
		return e
	}
	return nil
}

func (d *Drainer) logEnd(msg string, e End) {
	d.log(slog.LevelWarn, msg, "route", e.Route, "kind", e.Kind.String(), "protocol", e.Protocol.String(),
		"age", e.Age, "idle", e.Idle)
}

func (d *Drainer) logProgress(left time.Duration) {
	if d.Logger == nil {
		return
	}
	r := d.Report()
	d.log(slog.LevelInfo, "draining",
		"finite", r.Open.Finite, "sse", r.Open.SSE, "websocket", r.Open.WebSocket, "other", r.Open.Other,
		"left", left.Round(time.Millisecond))
}

func (d *Drainer) logOutcomes() {
	if d.Logger == nil {
		return
	}
	r := d.Report()
	d.log(slog.LevelInfo, "drain ends", "took", r.Took,
		"completed", r.Completed, "told", r.Told, "unanswered", r.Unanswered,
		"cancelled", r.Cancelled, "cut", r.Cut, "refused", r.Refused)
}
