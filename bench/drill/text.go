package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// mostText is how many characters of a text are kept.
const mostText = 300

// printable returns text in one line of printable characters, the others as Go writes them in
// literals. What a server sends can't add lines to a report, or control a terminal.
func printable(text string) string {
	var b strings.Builder
	for n := 0; text != ""; n++ {
		if n == mostText {
			b.WriteString("...")
			break
		}
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[size:]
	}
	return b.String()
}

// width is how many columns a line of the text report has.
const width = 80

// wrap writes text after a first column, in lines of at most width columns. Those that follow are
// indented by the first column.
func wrap(b *strings.Builder, first, text string) {
	column := utf8.RuneCountInString(first)
	room := width - column
	var lines []string
	line := ""
	for word := range strings.SplitSeq(text, " ") {
		for utf8.RuneCountInString(word) > room { // no line has room for it
			if line != "" {
				lines, line = append(lines, line), ""
			}
			runes := []rune(word)
			lines, word = append(lines, string(runes[:room])), string(runes[room:])
		}
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > room:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	for _, l := range append(lines, line) {
		b.WriteString(strings.TrimRight(first+l, " ") + "\n")
		first = strings.Repeat(" ", column)
	}
}

func (s *score) text() string {
	var b strings.Builder
	wrap(&b, "", s.server()+", "+s.began.Format(time.DateOnly))
	b.WriteByte('\n')
	for _, r := range s.routes {
		wrap(&b, fmt.Sprintf("%-18s ", r.kind()), printable(r.Name()))
	}
	fmt.Fprintf(&b, "\n%-34s %8s %8s\n", s.by(), "took", "status")
	for _, c := range s.cases {
		fmt.Fprintf(&b, "%-34s %7.2fs %8s\n", c.Name, c.Took.Seconds(), c.statusText())
	}
	b.WriteByte('\n')
	for _, r := range rules {
		fmt.Fprintf(&b, "%s  %-50s %-8s %5d of %d\n", r.number, r.title, s.verdict(r.number), s.checks[r.number]-s.failed[r.number], s.checks[r.number])
	}
	for _, f := range s.findings {
		b.WriteByte('\n')
		wrap(&b, f.Rule+"  ", f.where()+": "+f.Text)
		fmt.Fprintf(&b, "     %s\n", f.Page)
	}
	fmt.Fprintf(&b, "\n%s\n", s.summary())
	return b.String()
}
