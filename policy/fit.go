package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Fit returns nil if what r says fits into b's Work, and otherwise an error that names the route, what it needs, what
// there is and the change that would make it fit. A zero Timeout or Mercy needs nothing: it takes what is left, up to
// its default. A finite rule needs its Grace and Mercy only. An empty route stands for a rule that is for every route.
func (b Budget) Fit(route string, r Rule) error {
	said := r.said()
	var need time.Duration
	var sum []string
	for _, part := range []struct {
		name  string
		value time.Duration
	}{{"grace", said.grace}, {"spread", said.spread}, {"timeout", said.timeout}, {"mercy", said.mercy}} {
		if part.value > 0 {
			need += part.value
			sum = append(sum, fmt.Sprintf("%s %v", part.name, part.value))
		}
	}
	have := b.Work()
	if need <= have {
		return nil
	}
	who := "the rule for every route"
	if route != "" {
		who = fmt.Sprintf("route %q", route)
	}
	return fmt.Errorf("policy: %s needs %v (%s) but the budget leaves %v of %v (announce %v, reserve %v): "+
		"shorten the rule by %v or raise Budget.Total to %v",
		who, need, strings.Join(sum, " + "), have, b.Whole(), b.Announce, b.Reserved(), need-have, b.totalFor(need))
}

// Check reports all that is wrong with p under b, joined, and is meant for start-up: b must be valid, and the rules of p
// valid and fitting. It can look into a nil Policy (the zero Rule for all), a [Rule], a [*Mux], and whatever has a
// method Check(Budget) error; of any other Policy it knows no rules and checks b alone.
func Check(p Policy, b Budget) error {
	err := b.Validate()
	switch p := p.(type) {
	case Rule:
		err = errors.Join(err, p.Validate(), b.Fit("", p))
	case *Rule:
		return Check(*p, b)
	case interface{ Check(Budget) error }:
		err = errors.Join(err, p.Check(b))
	}
	return err
}
