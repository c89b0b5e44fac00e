package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"
)

// lessons is what people have read out of the figures. It is written by hand: after a run that
// finds something else it has to be read again.
//
//go:embed lessons.md
var lessons string

// scoreboard writes the page.
func scoreboard(began time.Time, results []result, version func(part) (string, error)) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, `# The field: how servers end, judged from outside

What becomes of WebSockets, event streams, answers and downloads when a server is told to stop: net/http, gin, echo, chi,
fiber, Node, Python, Caddy, nginx, HAProxy, and lastcall. [The judge](drill.md#the-judge-any-server-from-outside) starts
each, opens clients, sends the signal at seven moments, and looks at the wire. This page was written on %s by

`+"```sh\ngo run ./bench/field\n```"+`

on %s/%s with %d cores. All serve the same four routes: a WebSocket, an endless event stream, an answer of 3 s in chunks,
and a download of 3 s with a Content-Length. Each is written and stopped as its documentation has it, and has %.0f s to stop
where it has a limit to set. SIGKILL comes after %.0f s. The back end of those in front goes on; it has one route more, a
WebSocket each of whose messages takes 0.2 s to arrive, as on a slow line.

## Which rules are kept

✓ is kept; 0 of 16 is how many of its checks kept it; with a dot there was nothing to check. The numbers are [the drill's
rules](drill-rules.md), below the table in short.

`, began.Format(time.DateOnly), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), budget.Seconds(), limit.Seconds())

	writeRules(&b, results)
	b.WriteString("\n" + lessons)
	writeTimes(&b, results)
	if err := writeVersions(&b, results, version); err != nil {
		return nil, err
	}
	writeWords(&b, results)
	return b.Bytes(), nil
}

// row writes a line of a table.
func row(b *bytes.Buffer, cells ...string) { fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | ")) }

func head(b *bytes.Buffer, cells ...string) {
	row(b, cells...)
	row(b, slices.Repeat([]string{"---"}, len(cells))...)
}

func anchor(rule string) string { return "drill-rules.md#" + strings.ReplaceAll(rule, ".", "") }

func writeRules(b *bytes.Buffer, results []result) {
	// One that nobody met is left out.
	met := func(i int) bool {
		return slices.ContainsFunc(results, func(c result) bool { return c.Rules[i].Checks > 0 })
	}
	cells := []string{""}
	for i, r := range results[0].Rules {
		if !met(i) {
			continue
		}
		cells = append(cells, fmt.Sprintf("[%s](%s)", r.Rule, anchor(r.Rule)))
	}
	head(b, cells...)
	for _, c := range results {
		cells = []string{c.title}
		for i, r := range c.Rules {
			switch {
			case !met(i):
			case r.Checks == 0:
				cells = append(cells, "·")
			case r.Failed == 0:
				cells = append(cells, "✓")
			default:
				cells = append(cells, fmt.Sprintf("%d of %d", r.Checks-r.Failed, r.Checks))
			}
		}
		row(b, cells...)
	}
	b.WriteString("\n")
	for i, r := range results[0].Rules {
		if met(i) {
			fmt.Fprintf(b, "- %s: %s\n", r.Rule, r.Title)
		}
	}
}

func writeTimes(b *bytes.Buffer, results []result) {
	b.WriteString("\n## How long it takes\n\nSeconds from the signal to the process's end.\n\n")
	cells := []string{""}
	for _, c := range results[0].Cases {
		cells = append(cells, c.Name)
	}
	head(b, append(cells, "exit status", "SIGKILL needed")...)
	for _, c := range results {
		cells = []string{c.title}
		var statuses []string
		killed := 0
		for _, k := range c.Cases {
			cells = append(cells, fmt.Sprintf("%.1f", k.Took.Seconds()))
			status := fmt.Sprint(k.Status)
			switch {
			case k.Killed:
				killed++
				continue
			case k.Status < 0:
				status = "by the signal"
			}
			if !slices.Contains(statuses, status) {
				statuses = append(statuses, status)
			}
		}
		slices.Sort(statuses)
		needed := "no"
		if killed > 0 {
			needed = fmt.Sprintf("%d of %d", killed, len(c.Cases))
		}
		row(b, append(cells, strings.Join(statuses, ", "), needed)...)
	}
}

func writeVersions(b *bytes.Buffer, results []result, version func(part) (string, error)) error {
	b.WriteString("\n## What was judged\n\nThe versions are those on the machine. `bench/field` pins them, but for Debian's packages, Go and Node. Its command judges\na row alone, and prints all that the judge says.\n\n")
	head(b, "", "stops", "versions", "alone")
	for _, c := range results {
		var texts []string
		for _, p := range c.parts {
			text, err := version(p)
			if err != nil {
				return fmt.Errorf("%s: the version of %s: %w", c.name, p.name, err)
			}
			texts = append(texts, text)
		}
		source := path.Join("bench/field", c.source)
		if strings.HasPrefix(c.source, "/") {
			source = c.source[1:]
		}
		row(b, fmt.Sprintf("[%s](../%s)", c.title, source), c.stops, strings.Join(texts, ", "), "`go run ./bench/field -only "+c.name+"`")
	}
	return nil
}

func writeWords(b *bytes.Buffer, results []result) {
	b.WriteString("\n## In the judge's words\n")
	for _, c := range results {
		fmt.Fprintf(b, "\n### %s\n\n`drill %s -- %s`\n\n", c.title, strings.Join(c.judgeArgs(), " "), strings.Join(c.command, " "))
		if len(c.Findings) == 0 {
			b.WriteString("Every rule that was met is kept.\n")
		}
		for _, f := range c.Findings {
			times := ""
			if f.Times > 1 {
				times = fmt.Sprintf(" (%d times)", f.Times)
			}
			route := ""
			if f.Route != "" {
				route = " `" + f.Route + "`"
			}
			fmt.Fprintf(b, "- [%s](%s)%s, %s%s: %s\n", f.Rule, anchor(f.Rule), route, f.Case, times, f.Text)
		}
	}
}
