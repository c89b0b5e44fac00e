package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// slack is how late things may be on a machine that does other things too.
const slack = 500 * time.Millisecond

// tolerance covers rounding, and the moment between setting a squeezed drain's deadline and its
// start.
const tolerance = time.Millisecond

// A line is a row of the table: a figure with its bound.
type line struct {
	what, figure, bound string
	ok                  bool // the figure is within its bound
	clock               bool // a busy machine can exceed the bound
}

// judge compares the figures with their bounds.
func (f *figures) judge() []line {
	r := f.report
	all := r.Completed + r.Told + r.Unanswered + r.Canceled + r.Cut + r.Refused
	lines := []line{
		count("accounted for", all, f.streams),
		f.outcome("told, by the report", r.Told, f.streams-f.stuck),
		f.outcome("told, by the clients", uint64(len(f.told())), f.streams-f.stuck),
		f.outcome("unanswered", r.Unanswered, 0),
		f.outcome("cut", r.Cut, f.stuck),
		f.outcome("errors", uint64(len(f.faults())), 0),
	}
	lines = append(lines, f.judgeRate()...)
	lines = append(lines, f.judgeEnds()...)
	lines = append(lines, f.judgeSlots()...)
	return append(lines, f.judgeCuts()...)
}

// outcome returns the line of a count that a busy machine can change if the drain is squeezed.
func (f *figures) outcome(what string, got uint64, want int) line {
	l := count(what, got, want)
	l.clock = f.squeezed()
	return l
}

func count(what string, got uint64, want int) line {
	return line{what, fmt.Sprint(got), fmt.Sprint(want), got == uint64(want), false}
}

func within(what string, got, most time.Duration, clock bool) line {
	return line{what, ms(got), "≤ " + ms(most), got <= most, clock}
}

// judgeRate bounds the farewells in the worst 100 ms to twice the mean, and how early and late they
// are. On a busy machine they may be late but never early.
func (f *figures) judgeRate() []line {
	const width = 100 * time.Millisecond
	most, mean := worst(f.told(), width), f.rate(width)
	early, late := f.deviation()
	return []line{
		{"farewells in the worst 100 ms", fmt.Sprint(most), fmt.Sprintf("≤ %.0f (the mean is %.0f)", 2*mean, mean),
			float64(most) <= 2*mean, true},
		within("told before it was due, at most", early, tolerance, false),
		within("told after it was due, at most", late, slack, true),
	}
}

// judgeEnds bounds the time of the streams that get a farewell by their rules', and without stuck
// ones that of the whole drain too.
func (f *figures) judgeEnds() []line {
	last, longest := f.ends()
	due := f.deadline()
	if f.stuck > 0 {
		due = f.limit
	}
	return []line{
		within("from farewell to end, at most", longest, slack, true),
		within("last told stream over", last, f.deadline(), true),
		within("drain over", f.took, due, f.squeezed()),
	}
}

// judgeSlots bounds the peak of the slots' histogram to 1.2 times its mean.
func (f *figures) judgeSlots() []line {
	const most = 1.2
	bins := f.bins()
	over, outside := peak(f.slots(), window, bins)
	independent, _ := peak(f.independentSlots(), window, bins)
	return []line{
		{"slots, peak over mean", fmt.Sprintf("%.2f", over),
			fmt.Sprintf("≤ %.2f (%d bins; independent draws: %.2f)", most, bins, independent), over <= most, f.squeezed()},
		count("slots outside of the window", uint64(outside), 0),
	}
}

// judgeCuts bounds the time between each stuck stream's own deadline and its cut.
func (f *figures) judgeCuts() []line {
	if len(f.cuts) == 0 {
		return nil
	}
	least, most := f.cutDelays()
	return []line{
		within("cut before its deadline, at most", max(0, -least), tolerance, f.squeezed()),
		within("cut after its deadline, at most", most, slack, true),
	}
}

func ms(d time.Duration) string { return d.Round(100 * time.Microsecond).String() }

// print writes the table, and one of the errors if there is any.
func (f *figures) print(w io.Writer, lines []line) {
	fmt.Fprintf(w, "%d event streams, %d of them stuck, and %d WebSockets; spread %v",
		f.events(), f.stuck, f.sockets(), f.spread)
	if f.budget > 0 {
		fmt.Fprintf(w, ", budget %v", f.budget)
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range lines {
		state := "ok"
		if !l.ok {
			state = "BROKEN"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", l.what, l.figure, l.bound, state)
	}
	_ = t.Flush()
	if faults := f.faults(); len(faults) > 0 {
		fmt.Fprintln(w, "one of the errors:", faults[0])
	}
}

// broken returns an error that names the bounds that are exceeded, or nil.
func broken(lines []line) error {
	var all []string
	for _, l := range lines {
		if !l.ok {
			all = append(all, fmt.Sprintf("%s: %s, should be %s", l.what, l.figure, l.bound))
		}
	}
	if len(all) == 0 {
		return nil
	}
	return errors.New(strings.Join(all, "; "))
}
