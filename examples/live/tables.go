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

// A summary is what the server says of its own end.
type summary struct {
	by    string
	took  time.Duration
	ended int // responses that were open when it began, or came later
	cut   int // of them
	rows  []row
}

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

// printSightings prints one line for each kind of client and each ending that some of them saw.
func printSightings(w io.Writer, seen []sighting) {
	type key struct{ client, ending string }
	type group struct {
		key
		order int
		seen  []sighting
	}
	var groups []*group
	find := map[key]*group{}
	for i, s := range seen {
		k := key{s.client, s.ending()}
		if find[k] == nil {
			find[k] = &group{key: k, order: i}
			groups = append(groups, find[k])
		}
		find[k].seen = append(find[k].seen, s)
	}
	slices.SortStableFunc(groups, func(a, b *group) int {
		return cmp.Or(cmp.Compare(rank[a.client], rank[b.client]), -cmp.Compare(len(a.seen), len(b.seen)))
	})

	fmt.Fprintln(w, "\nWHAT THE CLIENTS SAW")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, g := range groups {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\n", g.client, len(g.seen), g.ending, retries(g.seen))
	}
	_ = t.Flush()
}

var rank = map[string]int{"websocket": 0, "dashboard": 1, "answer": 2, "download": 3}

var digits = regexp.MustCompile(`\d+`)

// ending puts into words how s ended, the same words for the same ending.
func (s sighting) ending() string {
	end := "clean end"
	if s.err != nil {
		end = "cut off: " + fault(s.err)
	}
	switch {
	case s.client == "websocket" && s.err != nil:
		return "1006, no close frame"
	case s.client == "websocket":
		return fmt.Sprintf("close %d %q", s.code, digits.ReplaceAllString(s.reason, "…"))
	case s.client == "download" && s.err == nil:
		return fmt.Sprintf("%d bytes, %s", s.bytes, end)
	case s.client == "download":
		return "truncated, " + end
	case s.event != "":
		return fmt.Sprintf("event %q, %s", s.event, end)
	}
	return "no last event, " + end
}

// fault says what broke without the addresses, which differ from client to client.
func fault(err error) string {
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

// retries tells how far apart these clients were asked to come back.
func retries(seen []sighting) string {
	var values []time.Duration
	for _, s := range seen {
		if s.retry > 0 {
			values = append(values, s.retry)
		}
	}
	if len(values) == 0 {
		return ""
	}
	slices.Sort(values)
	low, high := values[0], values[len(values)-1]
	return fmt.Sprintf("retry: %d values, %v to %v", len(slices.Compact(values)), low, high)
}
