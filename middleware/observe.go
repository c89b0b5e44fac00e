package middleware

import (
	"net/http"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// An Observation is what [Drainer].Observe is told of a response, or of a task that was handed to
// [Drainer.Go]. Nothing in it is chosen by the client, so its fields, the times aside, may be
// labels of metrics.
type Observation struct {
	// Route is as in a [Group]: the pattern that an http.ServeMux matched, or the name of a task.
	// It is empty where none is known, and never a path.
	Route  string
	Kind   policy.Kind // Finite also where it is undecided
	Format stream.Format
	Age    time.Duration // since it began
	Late   bool          // it came since the drain began

	// Outcome is how the response ended: "completed", "told", "unanswered", "canceled", "cut" or
	// "refused", see [Outcomes]. It is empty in the call for the first byte, which comes once
	// net/http can't hold that byte back any more, or when the connection is hijacked before. There
	// is no such call for a response of which no byte goes out, and none for a task.
	Outcome string
	Broken  bool // see [Outcomes]
	Told    bool // its farewell has gone out
	// Reason is why it did not end by itself, or was told: "drain", "shed" or "age". It is empty
	// where it ended by itself without a farewell, or was refused.
	Reason string
}

// The reasons of an Observation.
const (
	reasonDrain = "drain"
	reasonShed  = "shed"
	reasonAge   = "age"
)

var outcomeNames = [...]string{
	tracked.Completed: "completed", tracked.Told: "told", tracked.ToldBroken: "told", tracked.Unanswered: "unanswered",
	tracked.Canceled: "canceled", tracked.Cut: "cut", tracked.Refused: "refused",
}

// observeFirstByte is called when the first byte of a response goes out, where Observe is set.
func (d *Drainer) observeFirstByte(r *tracked.Response) { d.observe(observationOf(r)) }

// observeEnd is called when a response ends.
func (d *Drainer) observeEnd(r *tracked.Response, outcome tracked.Outcome) {
	if d.Observe == nil {
		return
	}
	o := observationOf(r)
	o.Outcome, o.Broken = outcomeNames[outcome], outcome == tracked.ToldBroken
	o.Reason, o.Told = r.WhyEnded()
	switch {
	case outcome == tracked.Refused, outcome == tracked.Completed && !o.Told:
		o.Reason = ""
	case o.Reason == "":
		o.Reason = reasonDrain // Shed and a maximum age note theirs when they tell a stream
	}
	d.observe(o)
}

// observeUnentered is called with a request that was refused before it became a response.
func (d *Drainer) observeUnentered(r *http.Request, rule *policy.Rule) {
	if d.Observe != nil {
		o := observationFor(tracked.RefusedGroup(r, rule))
		o.Late, o.Outcome = d.draining(), outcomeNames[tracked.Refused]
		d.observe(o)
	}
}

func observationOf(r *tracked.Response) Observation {
	o := observationFor(r.Group())
	o.Age, o.Late = r.Age(), r.SinceDrain()
	return o
}

func observationFor(g tracked.Group) Observation {
	return Observation{Route: tracked.Printable(g.Pattern), Kind: g.Kind, Format: stream.Format(g.Format)}
}

func (d *Drainer) observe(o Observation) { d.guard("Observe", func() { d.Observe(o) }) }
