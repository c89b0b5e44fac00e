package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

type env map[string]string

func (e env) lookup(name string) (string, bool) { v, ok := e[name]; return v, ok }

func TestFromEnv(t *testing.T) {
	const period = "TERMINATION_GRACE_PERIOD_SECONDS"
	for name, tt := range map[string]struct {
		env  env
		want policy.Budget
	}{
		"nothing":                 {env{}, policy.Budget{}},
		"set to the empty string": {env{"LASTCALL_BUDGET": "", "LASTCALL_ANNOUNCE": "", period: ""}, policy.Budget{}},
		"all":                     {env{"LASTCALL_BUDGET": "40s", "LASTCALL_ANNOUNCE": "5s", "LASTCALL_RESERVE": "1500ms"}, policy.Budget{Total: 40 * sec, Announce: 5 * sec, Reserve: 1500 * ms}},
		"Kubernetes' default":     {env{period: "30"}, policy.Budget{Total: policy.Budget{}.WithDefaults().Total}},
		"a long period":           {env{period: "3600"}, policy.Budget{Total: time.Hour - 5*sec}},
		"a short period":          {env{period: "6"}, policy.Budget{Total: 5 * sec}},
		"the budget is stronger":  {env{period: "30", "LASTCALL_BUDGET": "12s"}, policy.Budget{Total: 12 * sec}},
		"the longest period":      {env{period: "2147483647"}, policy.Budget{Total: 2147483642 * sec}},
		"no announcement":         {env{"LASTCALL_ANNOUNCE": "0s"}, policy.Budget{}},
		// Without a Total nobody knows yet whether this is too long.
		"a long announcement": {env{"LASTCALL_ANNOUNCE": "30s"}, policy.Budget{Announce: 30 * sec}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := policy.FromEnv(tt.env.lookup)
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestFromEnvRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		env  env
		want string
	}{
		"no unit":       {env{"LASTCALL_BUDGET": "25"}, `policy: LASTCALL_BUDGET is "25"; use a time over zero with its unit, such as "25s"`},
		"zero":          {env{"LASTCALL_BUDGET": "0s"}, `policy: LASTCALL_BUDGET is "0s"; use a time over zero with its unit, such as "25s"`},
		"unit":          {env{"TERMINATION_GRACE_PERIOD_SECONDS": "30s"}, `policy: TERMINATION_GRACE_PERIOD_SECONDS is "30s"; use whole seconds over zero and without a unit, such as "30"`},
		"no period":     {env{"TERMINATION_GRACE_PERIOD_SECONDS": "0"}, `policy: TERMINATION_GRACE_PERIOD_SECONDS is "0"; use whole seconds over zero and without a unit, such as "30"`},
		"endless":       {env{"TERMINATION_GRACE_PERIOD_SECONDS": "2147483648"}, `policy: TERMINATION_GRACE_PERIOD_SECONDS is "2147483648"; use whole seconds over zero and without a unit, such as "30"`},
		"even if weak":  {env{"TERMINATION_GRACE_PERIOD_SECONDS": "-1", "LASTCALL_BUDGET": "9s"}, `policy: TERMINATION_GRACE_PERIOD_SECONDS is "-1"; use whole seconds over zero and without a unit, such as "30"`},
		"all of them":   {env{"LASTCALL_BUDGET": "soon", "LASTCALL_ANNOUNCE": "-1s", "LASTCALL_RESERVE": "x"}, "policy: LASTCALL_BUDGET is \"soon\"; use a time over zero with its unit, such as \"25s\"\n" + "policy: LASTCALL_ANNOUNCE is \"-1s\"; use a time with its unit, zero or more, such as \"5s\"\n" + "policy: LASTCALL_RESERVE is \"x\"; use a time with its unit, zero or more, such as \"1500ms\""},
		"too much":      {env{"LASTCALL_BUDGET": "10s", "LASTCALL_ANNOUNCE": "12s"}, "policy: LASTCALL_BUDGET=10s LASTCALL_ANNOUNCE=12s: Budget.Announce 12s and Reserve 1s leave nothing of Total 10s for the responses; raise Total over 13.334s"},
		"too much, too": {env{"TERMINATION_GRACE_PERIOD_SECONDS": "12", "LASTCALL_RESERVE": "10s"}, "policy: TERMINATION_GRACE_PERIOD_SECONDS=12 LASTCALL_RESERVE=10s: Budget.Announce 0s and Reserve 10s leave nothing of Total 10s for the responses; raise Total over 10s"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := policy.FromEnv(tt.env.lookup)
			require.EqualError(t, err, tt.want)
			assert.Zero(t, got)
		})
	}
}
