package policy

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The variables that [FromEnv] reads.
const (
	envBudget   = "LASTCALL_BUDGET"
	envAnnounce = "LASTCALL_ANNOUNCE"
	envReserve  = "LASTCALL_RESERVE"
	envPeriod   = "TERMINATION_GRACE_PERIOD_SECONDS"
)

// margin is what a platform's period has over the budget, but at most a sixth of it: for what main does after the drain,
// and for the platform's own delays. It makes 25 s, the zero Budget, of Kubernetes' default of 30 s.
const margin = 5 * time.Second

// FromEnv returns the budget that the environment gives, and leaves zero what it doesn't. lookup is [os.LookupEnv]; a
// variable that is set to nothing counts as not set.
//
//	LASTCALL_BUDGET                   Budget.Total, as "40s"
//	LASTCALL_ANNOUNCE                 Budget.Announce, as "5s"
//	LASTCALL_RESERVE                  Budget.Reserve, as "1500ms"
//	TERMINATION_GRACE_PERIOD_SECONDS  what Budget.Total is made from where LASTCALL_BUDGET is not set, as "30": that
//	                                  many seconds, less a sixth of them or 5 s, whichever is less
//
// No platform that we know of sets any of them, or tells a process its stop timeout in another way, so they are for
// whoever writes the manifest, beside the timeout itself. Kubernetes' downward API has no field for
// terminationGracePeriodSeconds: write the number a second time, under env. A preStop hook takes its time out of the same
// period, so where there is one, set LASTCALL_BUDGET. Nor does the environment that systemd.exec(5) documents have
// TimeoutStopSec: add Environment=LASTCALL_BUDGET=… to the unit.
//
// The error has a line for each variable whose value can't be, with the value, or says that the values together leave no
// time for the responses. What the environment leaves to others is not looked at; [Check] does that.
func FromEnv(lookup func(name string) (value string, set bool)) (Budget, error) {
	var b Budget
	var given, faults []string
	for _, v := range []struct {
		name string
		to   *time.Duration
		read func(text string) (time.Duration, error)
		use  string
	}{
		{envPeriod, &b.Total, lessMargin, `whole seconds over zero and without a unit, such as "30"`},
		{envBudget, &b.Total, overZero, `a time over zero with its unit, such as "25s"`}, // the stronger one comes last
		{envAnnounce, &b.Announce, zeroOrMore, `a time with its unit, zero or more, such as "5s"`},
		{envReserve, &b.Reserve, zeroOrMore, `a time with its unit, zero or more, such as "1500ms"`},
	} {
		text, _ := lookup(v.name)
		if text == "" {
			continue
		}
		given = append(given, v.name+"="+text)
		d, err := v.read(text)
		if err != nil {
			faults = append(faults, fmt.Sprintf("%s is %.40q; use %s", v.name, text, v.use))
			continue
		}
		*v.to = d
	}
	if len(faults) == 0 && b.Total > 0 {
		for _, text := range b.faults() {
			faults = append(faults, strings.Join(given, " ")+": "+text)
		}
	}
	if len(faults) > 0 {
		return Budget{}, joined("policy: ", faults)
	}
	return b, nil
}

func lessMargin(text string) (time.Duration, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if n == 0 {
		err = cmp.Or(err, strconv.ErrRange)
	}
	period := time.Duration(n) * time.Second
	return period - min(period/6, margin), err
}

func overZero(text string) (time.Duration, error) {
	d, err := zeroOrMore(text)
	if d == 0 {
		err = cmp.Or(err, strconv.ErrRange)
	}
	return d, err
}

func zeroOrMore(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if d < 0 {
		err = strconv.ErrRange
	}
	return d, err
}
