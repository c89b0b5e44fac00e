package middleware

import (
	"net/http"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// An Observation is what [Drainer].Observe is told of a response, or of a task that was handed to
// [Drainer.Go]. Nothing in it is chosen by the client, so its fields, the times aside, may be labels
// of metrics.
type Observation struct {
	// Route is as in a [Group]: the pattern that an http.ServeMux matched, or the name of a task. It
	// is empty where none is known, and never a path.
	Route  string
	Kind   policy.Kind // Finite also where it is undecided
	Format stream.Format
	Age    time.Duration // since it began
	Late   bool          // it came since the drain began

	// Outcome is how the response ended: "completed", "told", "unanswered", "canceled", "cut" or
	// "refused", see [Outcomes]. It is empty when the response has not ended, but its first byte goes
	// out: once net/http can't hold it back any more, for a connection that is hijacked at that
	// moment. Where nothing goes out there is no such call; nor is there for a task.
	Outcome string
	Broken  bool // see [Outcomes]
	Told    bool // its farewell has gone out
	// Reason is why it did not end by itself, or was told: "drain", "shed" or "age". It is empty
	// where it ended by itself without a farewell, or was refused.
	Reason string
}

// What an Observation has for a Reason.
const (
	reasonDrain = "drain"
	reasonShed  = "shed"
	reasonAge   = "age"
)

var outcomeNames = [...]string{
	tracked.Completed: "completed", tracked.Told: "told", tracked.ToldBroken: "told", tracked.Unanswered: "unanswered",
	tracked.Canceled: "canceled", tracked.Cut: "cut", tracked.Refused: "refused",
}

// whyTold returns why a stream is told now.
func (s *scheduler) whyTold(r *tracked.Response) string {
	switch {
	case s.hasPlan():
		return reasonDrain
	case s.picked[r] != nil:
		return reasonShed
	}
	return reasonAge
}

// observeFirstByte is called when the first byte of a response goes out, where Observe is set.
func (d *Drainer) observeFirstByte(r *tracked.Response) { d.observe(observationOf(r)) }

// observeEnd is called when a response ends.
func (d *Drainer) observeEnd(r *tracked.Response, o tracked.Outcome) {
	if d.Observe == nil {
		return
	}
	ob := observationOf(r)
	ob.Outcome, ob.Broken = outcomeNames[o], o == tracked.ToldBroken
	ob.Reason, ob.Told = r.WhyEnded()
	switch {
	case o == tracked.Refused, o == tracked.Completed && !ob.Told:
		ob.Reason = ""
	case ob.Reason == "":
		ob.Reason = reasonDrain // which alone ends a response that was not to be told
	}
	d.observe(ob)
}

// observeUnentered is called with a request that was refused before it became a response.
func (d *Drainer) observeUnentered(r *http.Request, rule *policy.Rule) {
	if d.Observe != nil {
		g := tracked.RefusedGroup(r, rule)
		d.observe(Observation{Route: tracked.Printable(g.Pattern), Kind: g.Kind, Format: stream.Format(g.Format),
			Late: d.draining(), Outcome: outcomeNames[tracked.Refused]})
	}
}

func observationOf(r *tracked.Response) Observation {
	g := r.Group()
	return Observation{Route: tracked.Printable(g.Pattern), Kind: g.Kind, Format: stream.Format(g.Format), Age: r.Age(), Late: r.SinceDrain()}
}

func (d *Drainer) observe(o Observation) { d.guard("Observe", func() { d.Observe(o) }) }
