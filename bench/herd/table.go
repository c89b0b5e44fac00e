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

// write writes a heading and a Markdown table of the scenario's rows.
func (s *scenario) write(w io.Writer) {
	fmt.Fprintf(w, "### %s\n\n", s.heading())
	fmt.Fprintln(w, "| strategy | most connects in 100 ms | ratio to Phoenix's | in one replica | out of service, median | 99 % | moved more than once | the roll took |")
	fmt.Fprintln(w, "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, r := range s.rows {
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %s |\n",
			r.strategy, thousands(r.peak), ratio(r.peak, s.rows[phoenix].peak), thousands(r.single),
			seconds(r.median), seconds(r.tail), thousands(r.again), minutes(r.took))
	}
	fmt.Fprintln(w)
}

// heading returns a description of the clients and of the balancer, unless that is atRandom.
func (s *scenario) heading() string {
	if s.balance == leastLoaded {
		return s.population.name + ", sent to the least loaded replica"
	}
	return s.population.name
}

// thousands returns n with a comma before each three digits.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// ratio returns part over whole with three digits.
func ratio(part, whole int) string { return fmt.Sprintf("%.3g", float64(part)/float64(max(whole, 1))) }

// short returns d in seconds, with a tenth if there is one.
func short(d time.Duration) string {
	return strconv.FormatFloat(d.Round(100*time.Millisecond).Seconds(), 'f', -1, 64) + " s"
}

// seconds returns d to the hundredth of a second.
func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// minutes returns d in minutes and seconds.
func minutes(d time.Duration) string {
	s := int(d.Round(time.Second).Seconds())
	return fmt.Sprintf("%d min %02d s", s/60, s%60)
}

// The lines of a file of results between which the tables are. The text around them is written by
// hand.
const (
	markBegin = "<!-- herd begins -->\n"
	markEnd   = "<!-- herd ends -->\n"
)

// replace replaces what is between the marks of the file by the tables.
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
