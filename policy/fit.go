package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Fit returns nil if what r says fits into the work that b leaves, and otherwise an error that names the route, what it needs, what
// there is and the change that would make it fit. A zero Timeout or Mercy needs nothing: it takes what is left, up to
// its default. A finite rule needs its Grace and Mercy only. An empty route stands for a rule that is for every route, and
// what has no slash, and so is no pattern, says which rule it is: "given to Graceful".
func (b Budget) Fit(route string, r Rule) error { return joined("policy: ", b.misfits(route, r, 0)) }

// misfits is Fit for a rule whose streams are not told before lead, since others are told first.
func (b Budget) misfits(route string, r Rule, lead time.Duration) []string {
	said := r.after(lead).said()
	var need, slight time.Duration
	var sum []string
	for _, part := range []struct {
		name  string
		value time.Duration
	}{{"first those of higher priority", lead}, {"grace", said.grace}, {"spread", said.spread}, {"timeout", said.timeout}, {"mercy", said.mercy}} {
		if part.value > 0 {
			need += part.value
			sum = append(sum, fmt.Sprintf("%s %v", part.name, span(part.value)))
		}
		if part.value == AtOnce {
			slight += part.value
		}
	}
	have := b.work()
	if need <= have {
		return nil
	}
	total, less := b.totalFor(need), need-have
	if slight > 0 && less > time.Millisecond { // single nanoseconds count, but would tell nobody anything
		need -= slight
		less = (less + time.Millisecond - 1).Truncate(time.Millisecond)
	}
	who := fmt.Sprintf("route %q", route)
	if !strings.Contains(route, "/") {
		who = "the rule " + cmp.Or(route, "for every route")
	}
	return []string{fmt.Sprintf("%s needs %v (%s) but the budget leaves %v of %v (announce %v, reserve %v): "+
		"shorten the rule by %v or raise Budget.Total to %v",
		who, need, strings.Join(sum, " + "), have, b.total(), b.Announce, b.reserve(), less, total)}
}

// Check reports all that is wrong with p under b, joined, and is meant for start-up: b must be valid, and the rules of p
// valid and fitting. It can look into a nil Policy (the zero Rule for all), a [Rule], a [*Mux], and whatever has a
// method Check(Budget) error; of any other Policy it knows no rules and checks b alone.
func Check(p Policy, b Budget) error { return errors.Join(b.Validate(), checkRules(p, b)) }

func checkRules(p Policy, b Budget) error {
	switch p := p.(type) {
	case Rule:
		return errors.Join(p.Validate(), b.Fit("", p))
	case *Rule:
		return checkRules(*p, b)
	case interface{ Check(Budget) error }:
		return p.Check(b)
	}
	return nil
}

// leads returns for each rule how long its streams may have to wait for those of a higher priority, at worst.
func leads(rules []Rule) []time.Duration {
	order := make([]int, len(rules))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rules[b].Priority, rules[a].Priority) })

	all := make([]time.Duration, len(rules))
	var lead, next time.Duration
	for k, i := range order {
		r := rules[i]
		if k > 0 && r.Priority < rules[order[k-1]].Priority {
			lead = next
		}
		if r.Kind == Finite {
			continue // it is not told, and so neither waits nor is waited for
		}
		all[i] = lead
		if r.Grace != ToTheEnd {
			next = max(next, forever(lead+r.after(lead).said().grace+max(r.said().spread, AtOnce)))
		}
	}
	return all
}
