package endings

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lastcall-go/lastcall/internal/tracked"
)

var outcomeNames = []string{
	tracked.Completed: "completed", tracked.Told: "told", tracked.ToldBroken: "told and broken", tracked.Unanswered: "unanswered",
	tracked.Canceled: "canceled", tracked.Cut: "cut", tracked.Refused: "refused",
}

// sums are of all rounds of one test.
type sums struct {
	exchanges int
	tasks     int
	outcomes  tracked.Counts
	faults    map[string]int // by their kind
}

func (s *sums) String() string {
	text := fmt.Sprintf("%d requests, %d tasks:", s.exchanges, s.tasks)
	for o, name := range outcomeNames {
		text += fmt.Sprintf(" %d %s,", s.outcomes[o], name)
	}
	for kind, n := range s.faults {
		text += fmt.Sprintf("\n%6d times: %s", n, kind)
	}
	return strings.TrimSuffix(text, ",")
}

// contradicts fails the test. It prints the first of each kind of fault.
func (s *sums) contradicts(t *testing.T, kind, text string) {
	if s.faults[kind]++; s.faults[kind] == 1 {
		t.Error(text)
		return
	}
	t.Fail()
}

// judge compares both sides of each exchange, and balances the books.
func (ro *round) judge(t *testing.T) {
	report := ro.d.Report()
	over := report.Began.Add(report.Took)
	var counts tracked.Counts
	spent := map[int]bool{} // by connection
	failed := false
	for _, x := range ro.exchanges {
		x.spent = spent[x.conn]
		x.draining, x.over = report.Began, over
		x.closedAt, x.late = ro.closedAt, !x.view.ended.Before(over)
		ro.sums.exchanges++
		switch {
		case x.runs > 0:
			o, _ := x.response.Outcome()
			counts[o]++
			spent[x.conn] = spent[x.conn] || !ro.two && (o == tracked.Told || o == tracked.Canceled)
		case x.seen > 0:
			counts[tracked.Refused]++
		}
		if x.chore != nil && x.chore.asked {
			o, fault := x.chore.judge(over)
			counts[o]++
			ro.sums.tasks++
			if fault != "" {
				failed = true
				ro.sums.contradicts(t, fault, fmt.Sprintf("seed %d: %s: %+v\n%s", ro.seed, fault, x.chore, x))
			}
		}
		if fault := x.judge(); fault != "" {
			failed = true
			ro.sums.contradicts(t, fault, fmt.Sprintf("seed %d: %s\n%s", ro.seed, fault, ro.around(x)))
		}
	}
	broken := report.Before.Broken + report.Broken
	reported := tracked.Counts{
		tracked.Completed: report.Before.Completed + report.Completed, tracked.ToldBroken: broken,
		tracked.Told:       report.Before.Told + report.Told - broken,
		tracked.Unanswered: report.Before.Unanswered + report.Unanswered, tracked.Canceled: report.Before.Canceled + report.Canceled,
		tracked.Cut: report.Before.Cut + report.Cut, tracked.Refused: report.Before.Refused + report.Refused,
	}
	for o, n := range counts {
		ro.sums.outcomes[o] += n
	}
	sum := report.Before.All() + report.All()
	if !slices.Equal(counts[:], reported[:]) || sum != ro.seen.Load() || report.Open.All() != 0 {
		failed = true
		ro.sums.contradicts(t, "the books don't balance",
			fmt.Sprintf("seed %d: the server saw %d requests; their outcomes are %d, and in the report %d: %+v", ro.seed, ro.seen.Load(), counts, reported, report))
	}
	if failed && *trace {
		for _, x := range ro.exchanges {
			fmt.Println(x)
		}
	}
}

// around describes an exchange, and the others on its connection.
func (ro *round) around(x *exchange) string {
	text := fmt.Sprintf("rule %+v\n%s", x.rule, x)
	for _, other := range ro.exchanges {
		if other.conn == x.conn && other != x && !ro.two {
			text += "\nthere also: " + other.String()
		}
	}
	return text
}
