package middleware

import (
	"cmp"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A Phase is how far a drain has come: that of the response that has come furthest.
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
// outcomes, and these sums are equal at any moment:
//
//	Found + Late = Open + the six outcomes, once a drain has begun
//	Open and the outcomes = those of all Groups
//
// A Report is a copy, and the zero Report says nothing. In JSON, fields have their Go names,
// durations are nanoseconds, and words stand for kinds; what doesn't apply is left out. The schema
// is in docs/report.schema.json.
type Report struct {
	Phase  Phase
	Cause  string                  `json:",omitzero"` // what began the drain: a signal, a call, or which server failed, and with what
	Began  time.Time               `json:",omitzero"` // zero while serving
	Took   time.Duration           // since Began, up to the drain's end; zero while serving
	Left   time.Duration           // until the budget is used up; zero while serving, and once done
	Phases map[Phase]time.Duration `json:",omitempty"` // how long each phase was that the drain has entered, but Done

	Before   Outcomes // of responses that ended before the drain began
	Found    Tally    // open when the drain began
	Late     uint64   // requests and tasks that came since the drain began, served or refused
	Open     Tally    // open now
	Outcomes          // of responses that were open when the drain began or came after

	// Groups count the responses that are open, and those that ended since the drain began or were
	// refused, by route, rule, kind and format. The largest Group comes first. Of those that ended
	// 500 Groups are told apart, and one whose Route, Rule, Kind and Format are zero has the rest.
	Groups []Group `json:",omitempty"`

	// These are for each second since the drain began, up to 3,600. The last of so many has what
	// came later as well.
	ToldPerSecond  []int `json:",omitempty"` // farewells that went out
	EndedPerSecond []int `json:",omitempty"` // responses that ended, or were refused

	Waiting []ResponseInfo `json:",omitempty"` // up to three that are open while the drain goes on, and hold it up longest
	Aborted []ResponseInfo `json:",omitempty"` // cut by the drain, in the order of their ends

	// These hint at a wrong Kind in a rule. The log names each route once.
	Streaming      int   // finite responses that were still streaming when the drain canceled them; they may be Infinite
	Swallowed      int   // streams whose handler wrote on after the farewell and ended by itself; they may be Finite
	SwallowedBytes int64 // that handlers of responses which have ended wrote behind their farewells
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

// attrs returns the counts for a line in the log, without Broken.
func (o Outcomes) attrs() []any {
	return []any{"completed", o.Completed, "told", o.Told, "unanswered", o.Unanswered,
		"canceled", o.Canceled, "cut", o.Cut, "refused", o.Refused}
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

func (t *Tally) add(kind policy.Kind, format stream.Format, n int) {
	switch {
	case format == stream.Task:
		t.Tasks += n
	case kind != policy.Infinite:
		t.Finite += n
	case format == stream.SSE:
		t.SSE += n
	case format == stream.WebSocket:
		t.WebSocket += n
	default:
		t.Other += n
	}
}

func tally(open []*tracked.Response) (t Tally) {
	for _, r := range open {
		t.add(r.Kind(), stream.Format(r.Format()), 1)
	}
	return t
}

// A Group counts the responses that have a route, a rule, a kind and a format in common.
type Group struct {
	// Route is the pattern that an http.ServeMux matched, or the name of a task. It is empty for
	// all responses without one: never a path, of which clients may send any number.
	Route  string
	Rule   policy.Rule
	Kind   policy.Kind // Finite also where it is undecided
	Format stream.Format

	Open     int // now
	Outcomes     // since the drain began
}

// Report returns the phase and the counts as they are now. It visits every open response: ten calls
// a second are fine, one for each request is not.
func (d *Drainer) Report() Report {
	d.mu.Lock()
	before, since, open := d.registry.Counts()
	report := Report{Phase: Serving, Before: outcomesOf(before)}
	if dr := d.current; dr != nil {
		dr.reportLocked(&report)
	}
	d.mu.Unlock()

	report.Late, report.Outcomes = since.Arrived, outcomesOf(since.Counts)
	report.ToldPerSecond, report.EndedPerSecond = since.ToldPerSecond, since.EndedPerSecond
	report.Groups = d.groupsOf(open, since.Groups)
	for _, g := range report.Groups {
		report.Open.add(g.Kind, g.Format, g.Open)
	}
	if report.Phase != Serving && report.Phase != Done && len(open) > 0 {
		report.Waiting = d.infos(longest(open, maxLongest))
	}
	return report
}

// reportLocked writes what the drain itself knows into report.
func (dr *drain) reportLocked(report *Report) {
	current, now := dr.phaseLocked(), time.Now()
	report.Phases = make(map[Phase]time.Duration)
	for i, next := range dr.entered[1:] {
		report.Phases[dr.entered[i].phase] = next.at.Sub(dr.entered[i].at)
	}
	if current.phase == Done {
		now = current.at
	} else {
		report.Phases[current.phase] = now.Sub(current.at)
		report.Left = max(0, dr.deadline.Sub(now))
	}
	report.Phase, report.Cause, report.Began, report.Took, report.Found = current.phase, dr.cause, dr.began, now.Sub(dr.began), dr.found
	report.Aborted = slices.Clone(dr.aborted)
	report.Streaming, report.Swallowed, report.SwallowedBytes = dr.streaming, dr.swallowed, dr.swallowedBytes
}

// groupsOf returns the groups of the responses that are open and of those that have ended.
func (d *Drainer) groupsOf(open []*tracked.Response, ended map[tracked.Group]tracked.Counts) []Group {
	groups := make(map[tracked.Group]*Group, len(ended))
	groupFor := func(t tracked.Group) *Group {
		g := groups[t]
		if g == nil {
			g = &Group{Route: tracked.Printable(t.Pattern), Rule: t.Rule, Kind: t.Kind, Format: stream.Format(t.Format)}
			if _, err := g.Rule.MarshalJSON(); err != nil {
				g.Rule.Farewell = policy.Farewell{} // its text isn't UTF-8, and the report would have no JSON
			}
			groups[t] = g
		}
		return g
	}
	for t, counts := range ended {
		groupFor(t).Outcomes = outcomesOf(counts)
	}
	var last tracked.Group
	var group *Group
	for _, r := range open {
		t := r.Group()
		if t.Pattern == "" && d.findPattern(r) {
			t = r.Group()
		}
		if group == nil || t != last { // else it is in the group of the one before, as most are
			last, group = t, groupFor(t)
		}
		group.Open++
	}
	all := make([]Group, 0, len(groups))
	for _, g := range groups {
		all = append(all, *g)
	}
	slices.SortFunc(all, func(a, b Group) int {
		return cmp.Or(cmp.Compare(uint64(b.Open)+b.All(), uint64(a.Open)+a.All()),
			cmp.Compare(a.Route, b.Route), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Format, b.Format))
	})
	return all
}
