package main

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"text/tabwriter"
	"time"
)

// A summary is how the server ended.
type summary struct {
	by    string        // "lastcall" or "net/http"
	took  time.Duration // from the signal to the end
	ended int           // responses that were open when it began, or came later
	cut   int           // of them
	rows  []row
	text  string // the same, and more, as lastcall says it
}

// A row is a line of the report's table.
type row struct {
	what  string
	count int
	note  string
}

func printReport(w io.Writer, sum summary) {
	fmt.Fprintf(w, "\nWHAT THE SERVER REPORTS (%s, %v)\n", sum.by, sum.took.Round(time.Millisecond))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range sum.rows {
		fmt.Fprintf(t, "%s\t%d\t%s\n", r.what, r.count, r.note)
	}
	_ = t.Flush()
}

// printResults prints a line for each kind of client and each outcome that some of them saw.
func printResults(w io.Writer, results []result) {
	type key struct{ kind, outcome string }
	type group struct {
		key
		results []result
	}
	var groups []*group
	find := map[key]*group{}
	for _, r := range results {
		k := key{r.kind, r.outcome()}
		if find[k] == nil {
			find[k] = &group{key: k}
			groups = append(groups, find[k])
		}
		find[k].results = append(find[k].results, r)
	}
	slices.SortStableFunc(groups, func(a, b *group) int {
		return cmp.Or(cmp.Compare(rank[a.kind], rank[b.kind]), -cmp.Compare(len(a.results), len(b.results)))
	})

	fmt.Fprintln(w, "\nWHAT THE CLIENTS SAW")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, g := range groups {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\n", g.kind, len(g.results), g.outcome, retries(g.results))
	}
	_ = t.Flush()
}

// rank orders the kinds of clients in the table.
var rank = map[string]int{"websocket": 0, "dashboard": 1, "answer": 2, "download": 3}

var digits = regexp.MustCompile(`\d+`)

// outcome says how r ended, in the same words for the same outcome.
func (r result) outcome() string {
	end := "clean end"
	if r.err != nil {
		end = "cut off: " + cause(r.err)
	}
	switch {
	case r.kind == "websocket" && r.err != nil:
		return "1006, no close frame"
	case r.kind == "websocket":
		return fmt.Sprintf("close %d %q", r.code, digits.ReplaceAllString(r.reason, "…"))
	case r.kind == "download" && r.err == nil:
		return fmt.Sprintf("%d bytes, %s", r.bytes, end)
	case r.kind == "download":
		return "truncated, " + end
	case r.event != "":
		return fmt.Sprintf("event %q, %s", r.event, end)
	}
	return "no last event, " + end
}

// cause returns the innermost error's text: without addresses, which differ from client to client.
func cause(err error) string {
	for inner := err; inner != nil; {
		err = inner
		u, ok := inner.(interface{ Unwrap() error })
		if !ok {
			break
		}
		inner = u.Unwrap()
	}
	return err.Error()
}

// retries says how far apart these clients were asked to come back.
func retries(results []result) string {
	var values []time.Duration
	for _, r := range results {
		if r.retry > 0 {
			values = append(values, r.retry)
		}
	}
	if len(values) == 0 {
		return ""
	}
	slices.Sort(values)
	low, high := values[0], values[len(values)-1]
	return fmt.Sprintf("retry: %d values, %v to %v", len(slices.Compact(values)), low, high)
}
