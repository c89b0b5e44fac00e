package middleware

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/lastcall-go/lastcall/policy"
)

// These bound what String writes. Kubernetes shows 4,096 bytes of a container's termination log.
const (
	textColumns   = 80
	textBytes     = 4000
	textGroups    = 8
	textResponses = 4
)

// String returns the report as text for people: lines of 80 columns at most, 4,000 bytes in all.
// Its texts may change from one release to the next.
func (r Report) String() string {
	var t textLines
	switch r.Phase {
	case Serving, "":
		t.add("", "serving: %s open", r.Open)
		t.add("", "ended before: %s", r.Before.text(0))
	case Done:
		t.add("", "drain done in %s", round(r.Took))
	default:
		t.add("", "drain %s since %s, %s left", r.Phase, round(r.Took), round(r.Left))
	}
	if !r.Began.IsZero() {
		t.add("", "cause: %s", r.Cause)
		t.add("", "phases: %s", r.phasesText())
		t.add("", "found: %s; then %d late (%d refused)", r.Found, r.Late, r.Refused)
		ended := r.Outcomes
		ended.Refused = 0 // these are in the line before
		t.add("", "ended: %s", ended.text(0))
		t.add("", "open: %s", r.Open)
		t.add("", "%s", r.farewellsText())
	}
	for n, g := range r.Groups {
		if n == 0 {
			t.add("", "by route:")
		} else if n == textGroups {
			t.add("  ", "and %d more", len(r.Groups)-n)
			break
		}
		t.group(g)
	}
	t.responses("waiting for", r.Waiting)
	t.responses("cut", r.Aborted)
	text := t.String()
	if len(text) > textBytes {
		text = text[:strings.LastIndexByte(text[:textBytes-4], '\n')+1] + "...\n"
	}
	return text
}

func (r Report) phasesText() string {
	var parts []string
	for _, p := range phases {
		if took, entered := r.Phases[p]; entered && took >= time.Millisecond {
			parts = append(parts, fmt.Sprintf("%s %s", p, round(took)))
		}
	}
	return strings.Join(parts, ", ")
}

func (r Report) farewellsText() string {
	all, most, first, last := 0, 0, -1, 0
	for second, n := range r.ToldPerSecond {
		if n == 0 {
			continue
		}
		all, most, last = all+n, max(most, n), second
		if first < 0 {
			first = second
		}
	}
	text := "farewells: none"
	if all > 0 {
		text = fmt.Sprintf("farewells: %d from second %d to %d, at most %d in one", all, first+1, last+1, most)
	}
	if r.SwallowedBytes > 0 {
		text += fmt.Sprintf("; %d bytes swallowed", r.SwallowedBytes)
	}
	return text
}

// String returns the counts of which there are any, as in "20 finite, 80 sse", or "nothing".
func (t Tally) String() string { return nonzero(t.attrs()) }

// text returns the counts of which there are any, behind that of open responses.
func (o Outcomes) text(open int) string {
	text := nonzero(append([]any{"open", open}, o.attrs()...))
	if o.Broken > 0 {
		text = strings.Replace(text, " told", fmt.Sprintf(" told (%d broken)", o.Broken), 1)
	}
	return text
}

// nonzero returns the counts of which there are any as text. attrs are names and counts, as for a
// line in the log.
func nonzero(attrs []any) string {
	var parts []string
	for attr := range slices.Chunk(attrs, 2) {
		if name, n := attr[0], fmt.Sprint(attr[1]); n != "0" {
			parts = append(parts, fmt.Sprintf("%s %s", n, name))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "nothing")
}

// round returns d with three digits or so, as a person reads it.
func round(d time.Duration) time.Duration {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(100 * time.Microsecond)
}

// textLines are lines of textColumns at most.
type textLines struct{ strings.Builder }

// add adds a line, the first of the text if that has several. One that is too long is continued on
// up to two others, and then shortened.
func (t *textLines) add(indent, format string, args ...any) {
	line, _, _ := strings.Cut(fmt.Sprintf(format, args...), "\n")
	continued := indent + "  "
	for range 2 {
		columns := textColumns - len(indent)
		if len(line) <= columns {
			break
		}
		at := strings.LastIndexByte(line[:columns+1], ' ')
		if at <= 0 {
			break
		}
		t.WriteString(indent + fit(line[:at], columns) + "\n")
		indent, line = continued, line[at+1:]
	}
	t.WriteString(indent + fit(line, textColumns-len(indent)) + "\n")
}

// fit shortens text to columns. What is not printable in it becomes a space.
func fit(text string, columns int) string {
	runes := []rune(text)
	for i, c := range runes {
		if !unicode.IsPrint(c) {
			runes[i] = ' '
		}
	}
	if len(runes) > columns {
		return string(runes[:max(0, columns-3)]) + "..."
	}
	return string(runes)
}

func (t *textLines) group(g Group) {
	route, what := cmp.Or(g.Route, "(no pattern)"), fmt.Sprintf("%s %s: ", g.Kind, g.Format)
	if g.Kind == policy.Auto {
		route, what = "(the rest)", ""
	}
	what += g.Outcomes.text(g.Open)
	t.add("  ", "%s  %s", fit(route, max(20, textColumns-4-len(what))), what)
}

func (t *textLines) responses(what string, all []ResponseInfo) {
	for n, i := range all {
		if n == 0 {
			t.add("", "%s:", what)
		} else if n == textResponses {
			t.add("  ", "and %d more", len(all)-n)
			return
		}
		t.add("  ", "%s", i.Route)
		from := ""
		if i.Remote != "" {
			from = ", from " + i.Remote
		}
		t.add("    ", "%s %s, %s old, idle for %s%s", i.Kind, i.Format, round(i.Age), round(i.Idle), from)
		if i.Hijacker != "" {
			t.add("    ", "hijacked by %s", i.Hijacker)
		}
		for n, line := range strings.Split(i.Where, " < ") {
			if line != "" {
				t.add("    "+strings.Repeat("  ", min(n, 1)), "%s", line)
			}
		}
	}
}

// LogValue implements [slog.LogValuer], with the counts but not the groups and responses.
func (r Report) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("phase", string(r.Phase)), slog.Int("open", r.Open.All())}
	if !r.Began.IsZero() {
		attrs = append(attrs, slog.String("cause", r.Cause), slog.Int("found", r.Found.All()), slog.Uint64("late", r.Late),
			slog.Duration("took", r.Took), slog.Group("", r.Outcomes.attrs()...))
	}
	return slog.GroupValue(attrs...)
}

// writeReport writes the final report to d.ReportFile.
func (d *Drainer) writeReport(r Report) {
	if d.ReportFile == "" {
		return
	}
	text := []byte(r.String())
	var err error
	if strings.HasSuffix(d.ReportFile, ".json") {
		if text, err = json.MarshalIndent(r, "", "  "); err == nil {
			text = append(text, '\n')
		}
	}
	if err == nil {
		// In place, since a container's termination log is a mounted file that can't be replaced.
		err = os.WriteFile(d.ReportFile, text, 0o644)
	}
	if err != nil {
		d.log(slog.LevelWarn, "the report can't be written", "file", d.ReportFile, "error", err)
	}
}
