package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Fit returns nil if the times that r specifies fit into the time that b leaves for the responses
// (see [Budget.WithDefaults]). Otherwise its error names the route, what it needs, what there is,
// and the change that would make it fit. A zero Timeout or Mercy needs nothing: it takes what is
// left, up to its default of 250 ms (a WebSocket's Timeout: 3 s) or 1 s. A finite rule needs its
// Grace and Mercy only.
//
// route is the pattern, with its slash. An empty route stands for a rule for every route; one
// without a slash describes the rule instead, such as "given to Graceful".
func (b Budget) Fit(route string, r Rule) error { return joinFaults("policy: ", b.unfit(route, r, 0)) }

// unfit is Fit for a rule whose streams first wait for those of rules with a higher Priority.
func (b Budget) unfit(route string, r Rule, wait time.Duration) []string {
	specified := r.afterWait(wait).specified()
	var need, tiny time.Duration
	var sum []string
	for _, part := range []struct {
		name  string
		value time.Duration
	}{
		{"first those of higher priority", wait},
		{"grace", specified.grace},
		{"spread", specified.spread},
		{"timeout", specified.timeout},
		{"mercy", specified.mercy},
	} {
		if part.value > 0 {
			need += part.value
			sum = append(sum, fmt.Sprintf("%s %s", part.name, timeText(part.value)))
		}
		if part.value == AtOnce {
			tiny += part.value
		}
	}
	have := b.work()
	if need <= have {
		return nil
	}
	total, excess := b.totalFor(need), need-have
	if tiny > 0 && excess > time.Millisecond { // the single nanoseconds of AtOnce would only confuse
		need -= tiny
		excess = (excess + time.Millisecond - 1).Truncate(time.Millisecond)
	}
	subject := fmt.Sprintf("route %q", route)
	if !strings.Contains(route, "/") {
		subject = "the rule " + cmp.Or(route, "for every route")
	}
	return []string{fmt.Sprintf("%s needs %v (%s) but the budget leaves %v of %v (announce %v, reserve %v): "+
		"shorten the rule by %v or raise Budget.Total to %v",
		subject, need, strings.Join(sum, " + "), have, b.total(), b.Announce, b.reserve(), excess, total)}
}

// Check returns all that is wrong with p under b as one error, or nil: b must be valid, and the
// rules of p must be valid and fit b. It is meant for start-up. It can look into a nil Policy (the
// zero Rule for all), a [Rule], a [*Mux], a [*Swap], and whatever has a method Check(Budget) error,
// which leaves b itself alone; the rules of any other Policy are unknown, and b alone is checked.
//
// Of a Mux it names the routes in the order of HandleIf and Handle. See [Budget.Fit]; what a route
// needs includes the time that rules with a higher Priority take first.
func Check(p Policy, b Budget) error { return errors.Join(b.Validate(), checkRules(p, b)) }

func checkRules(p Policy, b Budget) error {
	switch p := p.(type) {
	case Rule:
		return errors.Join(p.Validate(), b.Fit("", p))
	case *Rule:
		return checkRules(*p, b)
	case interface{ Check(Budget) error }:
		return p.Check(b)
	case interface{ check(Budget) error }: // a Mux or a Swap, also one that is embedded
		return p.check(b)
	}
	return nil
}

// waits returns for each rule the longest time that its streams may have to wait until those of all
// rules with a higher Priority have their farewells.
func waits(rules []Rule) []time.Duration {
	byPriority := make([]int, len(rules)) // indices into rules
	for i := range byPriority {
		byPriority[i] = i
	}
	slices.SortStableFunc(byPriority, func(a, b int) int {
		return cmp.Compare(rules[b].Priority, rules[a].Priority)
	})

	all := make([]time.Duration, len(rules))
	var wait, next time.Duration // of this priority, and of those below it
	for k, i := range byPriority {
		r := rules[i]
		if k > 0 && r.Priority < rules[byPriority[k-1]].Priority {
			wait = next
		}
		if r.Kind == Finite {
			continue // there is no farewell to wait with or for
		}
		all[i] = wait
		if r.Grace != ToTheEnd {
			next = max(next, clamp(wait+r.afterWait(wait).specified().grace+max(r.specified().spread, AtOnce)))
		}
	}
	return all
}
