package policy_test

import (
	"reflect"
	"testing"
	"testing/quick"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

func TestRuleIsAPolicy(t *testing.T) {
	var p policy.Policy = policy.Rule{Grace: time.Second}
	assert.Equal(t, policy.Rule{Grace: time.Second}, p.Rule(nil))
}

func TestOver(t *testing.T) {
	base := policy.Rule{
		Kind: policy.Finite, Grace: 1, Spread: 2, Timeout: 3, Mercy: 4,
		Reconnect: policy.Window{Min: 5, Max: 6},
		Farewell:  policy.Farewell{Code: 4000, Reason: "a", Message: "b", Event: "c", Data: "d", Send: policy.SendRetry},
		Format:    policy.LinesFormat,
		Ending:    policy.BrokenEnding,
	}
	for name, tt := range map[string]struct {
		rule policy.Rule
		want func(*policy.Rule)
	}{
		"nothing": {policy.Rule{}, func(*policy.Rule) {}},
		"kind":    {policy.Rule{Kind: policy.Infinite}, func(r *policy.Rule) { r.Kind = policy.Infinite }},
		"times":   {policy.Rule{Grace: 9, Mercy: 8}, func(r *policy.Rule) { r.Grace, r.Mercy = 9, 8 }},
		"window as a whole": {
			policy.Rule{Reconnect: policy.Window{Max: 3}},
			func(r *policy.Rule) { r.Reconnect = policy.Window{Max: 3} },
		},
		"a text message over a binary one": {
			policy.Rule{Farewell: policy.Farewell{Message: "text"}},
			func(r *policy.Rule) { r.Farewell.Message, r.Farewell.Binary = "text", false },
		},
		"farewell by field": {
			policy.Rule{Farewell: policy.Farewell{Code: 1001, Data: "z"}},
			func(r *policy.Rule) { r.Farewell.Code, r.Farewell.Data = 1001, "z" },
		},
		"format, ending, admission and what is sent": {
			policy.Rule{Format: policy.NoFormat, Ending: policy.CleanEnding, Admit: true, Farewell: policy.Farewell{Send: policy.SendNothing}},
			func(r *policy.Rule) {
				r.Format, r.Ending, r.Admit, r.Farewell.Send = policy.NoFormat, policy.CleanEnding, true, policy.SendNothing
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := base
			tt.want(&want)
			assert.Equal(t, want, tt.rule.Over(base))
			assert.Equal(t, tt.rule, tt.rule.Over(policy.Rule{}))
			assert.Equal(t, tt.rule, policy.Rule{}.Over(tt.rule))
		})
	}
}

// By reflection, so that a new field of Rule can't be forgotten in Over.
func TestOverTakesEveryField(t *testing.T) {
	over := func(r, base policy.Rule) bool {
		got := reflect.ValueOf(r.Over(base))
		return chosen(got, reflect.ValueOf(r), reflect.ValueOf(base))
	}
	require.NoError(t, quick.Check(over, nil))

	every := everyField()
	v := reflect.ValueOf(every)
	for i := range v.NumField() {
		require.False(t, v.Field(i).IsZero(), "%s is not set in this test", v.Type().Field(i).Name)
	}
	require.Equal(t, every, policy.Rule{}.Over(every))
}

func chosen(got, r, base reflect.Value) bool {
	for i := range got.NumField() {
		if got.Type().Field(i).Name == "Farewell" {
			if !chosen(got.Field(i), r.Field(i), base.Field(i)) {
				return false
			}
			continue
		}
		want := r.Field(i)
		goesWithMessage := got.Type().Field(i).Name == "Binary" && !r.FieldByName("Message").IsZero()
		if want.IsZero() && !goesWithMessage {
			want = base.Field(i)
		}
		if !got.Field(i).Equal(want) {
			return false
		}
	}
	return true
}

func TestRuleValidate(t *testing.T) {
	for name, tt := range map[string]struct {
		rule policy.Rule
		want string
	}{
		"zero":   {policy.Rule{}, ""},
		"full":   {policy.Rule{Kind: policy.Infinite, Grace: 1, Spread: 1, Timeout: policy.AtOnce, Mercy: policy.AtOnce}, ""},
		"kind":   {policy.Rule{Kind: 3}, "policy: Kind 3 is unknown; use Auto, Finite or Infinite"},
		"order":  {policy.Rule{Order: 4}, "policy: Order 4 is unknown; use Random, OldestFirst, YoungestFirst or IdleFirst"},
		"format": {policy.Rule{Format: 5}, "policy: Format 5 is unknown; use AutoFormat, EventsFormat, LinesFormat, PartsFormat or NoFormat"},
		"ending": {policy.Rule{Ending: 3}, "policy: Ending 3 is unknown; use AutoEnding, CleanEnding or BrokenEnding"},
		"send":   {policy.Rule{Farewell: policy.Farewell{Send: 3}}, "policy: Send 3 is unknown; use SendAll, SendRetry or SendNothing"},
		"grace":  {policy.Rule{Grace: -time.Second}, "policy: Grace is -1s; use zero or more"},
		"window backwards": {
			policy.Rule{Reconnect: policy.Window{Min: 3 * time.Second, Max: 2 * time.Second}},
			"policy: Reconnect.Min 3s is over Reconnect.Max 2s; set Max to 3s or more",
		},
		"window without an end": {
			policy.Rule{Reconnect: policy.Window{Min: 3 * time.Second}},
			"policy: Reconnect.Min 3s is over Reconnect.Max 0s; set Max to 3s or more",
		},
		"window before": {
			policy.Rule{Reconnect: policy.Window{Min: -1, Max: 1}},
			"policy: Reconnect is -1ns to 1ns; a client can't come back before it is told",
		},
		"without units": {
			policy.Rule{Spread: 10, Timeout: 3 * time.Microsecond, Reconnect: policy.Window{Min: 1, Max: 20}},
			"policy: Spread is 10ns; a bare number counts nanoseconds, write 10*time.Second\n" +
				"policy: Reconnect.Max is 20ns; a bare number counts nanoseconds, write 20*time.Second",
		},
		"to the end where there is none": {
			policy.Rule{Grace: policy.ToTheEnd, Spread: policy.ToTheEnd, Mercy: policy.ToTheEnd, MaxAge: policy.ToTheEnd},
			"policy: Spread can't be to the end; only Grace and MaxAge can\npolicy: Mercy can't be to the end; only Grace and MaxAge can",
		},
		"all at once": {
			policy.Rule{Spread: -1, Timeout: -2, Mercy: -3, Farewell: policy.Farewell{Code: 1006}},
			"policy: Spread is -1ns; use zero or more\n" +
				"policy: Timeout is -2ns; use zero or more\n" +
				"policy: Mercy is -3ns; use zero or more\n" +
				"policy: close code 1006 may not be sent (RFC 6455 7.4.1); use 1000-1003, 1007-1014 or 3000-4999",
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := tt.rule.Validate()
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, tt.want)
		})
	}
}
