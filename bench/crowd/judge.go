package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// slack is for a machine that has better to do for a moment.
const slack = 500 * time.Millisecond

// tolerance is for what is rounded, and for a squeezed server that had a moment less than was given it.
const tolerance = time.Millisecond

// A line is a figure with its bound.
type line struct {
	what, figure, bound string
	ok                  bool
	clock               bool // a machine that is busy with other things can break it
}

// judge holds the figures against their bounds.
func (f *figures) judge() []line {
	r := f.report
	all := r.Completed + r.Told + r.Unanswered + r.Cancelled + r.Cut + r.Refused
	lines := []line{
		count("accounted for", all, f.streams),
		f.outcome("told, by the report", r.Told, f.streams-f.stuck),
		f.outcome("told, by the clients", uint64(len(f.told())), f.streams-f.stuck),
		f.outcome("unanswered", r.Unanswered, 0),
		f.outcome("cut", r.Cut, f.stuck),
		f.outcome("errors", uint64(len(f.faults())), 0),
	}
	lines = append(lines, f.judgePace()...)
	lines = append(lines, f.judgeEnds()...)
	lines = append(lines, f.judgeSlots()...)
	return append(lines, f.judgeCuts()...)
}

// outcome is a count that a busy machine can spoil if it has no time to spare.
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

// judgePace wants at most twice the mean in the worst 100 ms, and nobody told before its place. That one holds on every
// machine, since a stall can only make farewells late.
func (f *figures) judgePace() []line {
	const width = 100 * time.Millisecond
	most, mean := worst(f.told(), width), f.pace(width)
	early, late := f.off()
	return []line{
		{"farewells in the worst 100 ms", fmt.Sprint(most), fmt.Sprintf("≤ %.0f (the mean is %.0f)", 2*mean, mean),
			float64(most) <= 2*mean, true},
		within("told before its place, at most", early, tolerance, false),
		within("told behind its place, at most", late, slack, true),
	}
}

// judgeEnds wants those that are told gone by the time that the rules give them, and with nobody stuck all of the drain.
func (f *figures) judgeEnds() []line {
	last, longest := f.ends()
	due := f.due()
	if f.stuck > 0 {
		due = f.limit
	}
	return []line{
		within("from farewell to end, at most", longest, slack, true),
		within("last told stream over", last, f.due(), true),
		within("drain over", f.took, due, f.squeezed()),
	}
}

// judgeSlots wants a histogram's peak within 1.2 of its mean.
func (f *figures) judgeSlots() []line {
	const most = 1.2
	bins := f.bins()
	over, outside := peak(f.slots(), window, bins)
	independent, _ := peak(f.drawn(), window, bins)
	return []line{
		{"slots, peak over mean", fmt.Sprintf("%.2f", over),
			fmt.Sprintf("≤ %.2f (%d bins; independent draws: %.2f)", most, bins, independent), over <= most, f.squeezed()},
		count("slots outside of the window", uint64(outside), 0),
	}
}

// judgeCuts wants each stuck stream cut at its own deadline.
func (f *figures) judgeCuts() []line {
	if len(f.cuts) == 0 {
		return nil
	}
	least, most := f.cutOff()
	return []line{
		within("cut before its deadline, at most", max(0, -least), tolerance, f.squeezed()),
		within("cut after its deadline, at most", most, slack, true),
	}
}

func ms(d time.Duration) string { return d.Round(100 * time.Microsecond).String() }

// print writes the table, and one of the errors if there are any.
func (f *figures) print(w io.Writer, lines []line) {
	fmt.Fprintf(w, "%d event streams, %d of them stuck, and %d WebSockets; spread %v",
		f.events(), f.stuck, f.sockets(), f.spread)
	if f.budget > 0 {
		fmt.Fprintf(w, ", budget %v", f.budget)
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range lines {
		verdict := "ok"
		if !l.ok {
			verdict = "BROKEN"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", l.what, l.figure, l.bound, verdict)
	}
	_ = t.Flush()
	if faults := f.faults(); len(faults) > 0 {
		fmt.Fprintln(w, "one of the errors:", faults[0])
	}
}

// broken is an error that names the bounds that are broken, or nil.
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
