package policy

import (
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

// periodMargin is what a platform's grace period is longer than the budget made from it, but at
// most a sixth of the period: time for what main does after the drain and for the platform's own
// delays. It makes 25 s, the zero Budget, of Kubernetes' default of 30 s.
const periodMargin = 5 * time.Second

// FromEnv returns the budget that the environment specifies; fields that it doesn't specify are
// zero. lookup is [os.LookupEnv]. A variable that is set to the empty string counts as not set.
//
//	LASTCALL_BUDGET                   Budget.Total, as "40s"
//	LASTCALL_ANNOUNCE                 Budget.Announce, as "5s"
//	LASTCALL_RESERVE                  Budget.Reserve, as "1500ms"
//	TERMINATION_GRACE_PERIOD_SECONDS  as "30": where LASTCALL_BUDGET is not set, Budget.Total is
//	                                  that many seconds, less 5 s or a sixth, whichever is less
//
// Platforms don't set these variables by themselves: whoever writes the manifest sets them beside
// the timeout itself. Kubernetes' downward API has no field for terminationGracePeriodSeconds, so
// the number has to be written a second time, under env. A preStop hook takes its time out of the
// same period; where there is one, set LASTCALL_BUDGET. The environment that systemd.exec(5)
// documents has no TimeoutStopSec either: add Environment=LASTCALL_BUDGET=… to the unit.
//
// The error has one line for each variable whose value is invalid, with that value, or says that
// the values together leave no time for the responses. Whether rules fit the budget is for [Check]
// to report.
func FromEnv(lookup func(name string) (value string, set bool)) (Budget, error) {
	var b Budget
	var specified, faults []string
	for _, v := range []struct {
		name  string
		to    *time.Duration
		parse func(text string) (d time.Duration, ok bool)
		want  string
	}{
		{envPeriod, &b.Total, parsePeriod, `whole seconds over zero and without a unit, such as "30"`},
		{envBudget, &b.Total, parsePositive, `a time over zero with its unit, such as "25s"`}, // after envPeriod, which it overrides
		{envAnnounce, &b.Announce, parseNonNegative, `a time with its unit, zero or more, such as "5s"`},
		{envReserve, &b.Reserve, parseNonNegative, `a time with its unit, zero or more, such as "1500ms"`},
	} {
		text, _ := lookup(v.name)
		if text == "" {
			continue
		}
		specified = append(specified, v.name+"="+text)
		d, ok := v.parse(text)
		if !ok {
			faults = append(faults, fmt.Sprintf("%s is %.40q; use %s", v.name, text, v.want))
			continue
		}
		*v.to = d
	}
	if len(faults) == 0 && b.Total > 0 { // without it the Total may be that of a file
		for _, text := range b.faults() {
			faults = append(faults, strings.Join(specified, " ")+": "+text)
		}
	}
	if len(faults) > 0 {
		return Budget{}, joinFaults("policy: ", faults)
	}
	return b, nil
}

// parsePeriod reads a whole number of seconds over zero and returns the budget that fits into it.
func parsePeriod(text string) (d time.Duration, ok bool) {
	n, err := strconv.ParseUint(text, 10, 31)
	period := time.Duration(n) * time.Second
	return period - min(period/6, periodMargin), err == nil && n > 0
}

func parsePositive(text string) (d time.Duration, ok bool) {
	d, err := time.ParseDuration(text)
	return d, err == nil && d > 0
}

func parseNonNegative(text string) (d time.Duration, ok bool) {
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
}
