package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"
)

// write puts a heading and a Markdown table of the scene's rows.
func (s *scene) write(w io.Writer) {
	fmt.Fprintf(w, "### %s\n\n", s.heading())
	fmt.Fprintln(w, "| strategy | most connects in 100 ms | ratio to Phoenix's | in one replica | out of service, median | 99 % | moved more than once | the roll took |")
	fmt.Fprintln(w, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, r := range s.rows {
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %s |\n",
			r.strategy, thousands(r.peak), ratio(r.peak, s.rows[phoenix].peak), thousands(r.single),
			seconds(r.median), seconds(r.tail), thousands(r.again), whole(r.took))
	}
	fmt.Fprintln(w)
}

// heading says who the clients are, and where they are sent if not anywhere.
func (s *scene) heading() string {
	if s.balance == leastLoaded {
		return s.crowd.name + ", sent to the least loaded replica"
	}
	return s.crowd.name
}

// thousands writes n with a comma before each three digits.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// ratio is part over whole in three digits.
func ratio(part, whole int) string { return fmt.Sprintf("%.3g", float64(part)/float64(max(whole, 1))) }

// short is d in seconds, to a tenth where there is one.
func short(d time.Duration) string {
	return strconv.FormatFloat(d.Round(100*time.Millisecond).Seconds(), 'f', -1, 64) + " s"
}

// seconds is d to the hundredth of a second.
func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// whole is d in minutes and seconds.
func whole(d time.Duration) string {
	s := int(d.Round(time.Second).Seconds())
	return fmt.Sprintf("%d min %02d s", s/60, s%60)
}

// The lines between which the tables stand in a file of results. What is around them is written by hand.
const (
	markBegin = "<!-- herd begins -->\n"
	markEnd   = "<!-- herd ends -->\n"
)

// replace puts the tables into the file between its marks.
func replace(file string, tables []byte) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, begins := bytes.Cut(old, []byte(markBegin))
	_, after, ends := bytes.Cut(rest, []byte(markEnd))
	if !begins || !ends {
		return fmt.Errorf("%s: no place for the tables; add the lines %s and %s", file, markBegin[:len(markBegin)-1], markEnd[:len(markEnd)-1])
	}
	return os.WriteFile(file, slices.Concat(before, []byte(markBegin), tables, []byte(markEnd), after), 0o644)
}
