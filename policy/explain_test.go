package policy_test

import (
	"net/http/httptest"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

func TestExplainTable(t *testing.T) {
	m := policy.Mux{Default: policy.Rule{Timeout: 2 * sec, Mercy: 2 * sec}}
	m.Handle("GET /live", policy.Rule{Spread: 10 * sec, Mercy: sec}.Over(policy.TellStayAway()))
	m.Handle("/tunnel", policy.LeaveAlone())
	m.Handle("GET /export", policy.LetFinish())
	assert.Equal(t, `ROUTE         FROM        RULE
GET /live     pattern     kind infinite, spread 10s, mercy 1s, code 1000, reason `+"`closed; do not reconnect`, event `shutdown`, data `{\"retry\":null}`"+`
              all routes  timeout 2s
              default     grace 0s, order random, priority 0, reconnect 1s to 5s
/tunnel       pattern     grace to the end, spread at once, timeout at once, mercy at once
              default     kind auto, order random, priority 0, reconnect 1s to 5s, code 1012, reason `+"`service restart; retry={retry}`, event `shutdown`, data `{\"retry\":{retry}}`"+`
GET /export   pattern     kind finite
              all routes  timeout 2s, mercy 2s
              default     grace to the end, spread 0s, order random, priority 0, reconnect 1s to 5s, code 1012, reason `+"`service restart; retry={retry}`, event `shutdown`, data `{\"retry\":{retry}}`"+`
(all others)  all routes  timeout 2s, mercy 2s
              default     kind auto, grace 0s (finite: to the end), spread 0s, order random, priority 0, reconnect 1s to 5s, code 1012, reason `+"`service restart; retry={retry}`, event `shutdown`, data `{\"retry\":{retry}}`"+`
`, policy.Explain(&m).String())
}

func TestExplainKnowsEveryPolicy(t *testing.T) {
	rule := policy.Rule{Grace: sec, Farewell: policy.Farewell{Message: "\xff", Binary: true}}
	for name, tt := range map[string]struct {
		policy policy.Policy
		want   []policy.Field // some of those of the first route
		rule   policy.Rule
	}{
		"nil":            {nil, []policy.Field{{"grace", "0s (finite: to the end)", "default"}, {"mercy", "1s", "default"}}, policy.Rule{}},
		"rule":           {rule, []policy.Field{{"grace", "1s", "all routes"}, {"message", `"\xff" (binary)`, "all routes"}, {"timeout", "3s", "default"}}, rule},
		"rule's address": {&rule, []policy.Field{{"grace", "1s", "all routes"}}, rule},
		"nil mux":        {(*policy.Mux)(nil), []policy.Field{{"kind", "auto", "default"}}, policy.Rule{}},
		"empty mux":      {&policy.Mux{Default: rule}, []policy.Field{{"grace", "1s", "all routes"}}, rule},
		"opaque":         {opaque{}, []policy.Field{{"rule", "decided for each request", "policy_test.opaque"}}, policy.Rule{}},
		"explains":       {explainer{}, []policy.Field{{"mood", "good", "birth"}}, policy.Rule{}},
	} {
		t.Run(name, func(t *testing.T) {
			e := policy.Explain(tt.policy)
			require.Len(t, e, 1)
			assert.Subset(t, e[0].Fields, tt.want)
			assert.Equal(t, tt.rule, e[0].Rule)
			for _, f := range tt.want {
				assert.Contains(t, e.String(), f.From)
				assert.Contains(t, e.String(), f.Name+" "+f.Value)
			}
		})
	}
}

type explainer struct{ opaque }

func (explainer) Explain() policy.Explanation {
	return policy.Explanation{{Route: "mine", Fields: []policy.Field{{"mood", "good", "birth"}}}}
}

// By reflection, so that a field added to Rule can't be left out: each one that is set has to show.
func TestExplainTakesEveryField(t *testing.T) {
	every := everyField()
	v := reflect.ValueOf(&every).Elem()
	for i := range v.NumField() {
		var alone policy.Rule
		reflect.ValueOf(&alone).Elem().Field(i).Set(v.Field(i))
		assert.NotEqual(t, policy.Explain(policy.Rule{}), policy.Explain(alone), v.Type().Field(i).Name)
		count := 0
		for _, f := range policy.Explain(alone)[0].Fields {
			if f.From != "default" {
				count++
			}
		}
		want := 1
		if f := v.Field(i); f.Type() == reflect.TypeFor[policy.Farewell]() {
			want = f.NumField() - 1 // Binary goes with its message
		}
		assert.Equal(t, want, count, v.Type().Field(i).Name)
	}
}

// What is explained is what is handed out.
func TestMuxDefault(t *testing.T) {
	base := policy.Rule{Grace: 4 * sec, Timeout: 2 * sec, Farewell: policy.Farewell{Code: 4000}}
	m := policy.Mux{Default: base}
	own := policy.Rule{Timeout: sec, Farewell: policy.Farewell{Reason: "own"}}
	m.Handle("GET /live", own)
	want := map[string]policy.Rule{"/live": own.Over(base), "/else": base, "//live": base}
	for path, rule := range want {
		assert.Equal(t, rule, m.Rule(httptest.NewRequest("GET", "http://h"+path, nil)), path)
	}
	e := policy.Explain(&m)
	require.Len(t, e, 2)
	assert.Equal(t, want["/live"], e[0].Rule)
	assert.Equal(t, want["/else"], e[1].Rule)

	whole := policy.Mux{Default: base}
	whole.Handle("/", own)
	assert.Equal(t, own.Over(base), whole.Rule(httptest.NewRequest("GET", "/else", nil)))
}

func TestMuxChecksItsDefault(t *testing.T) {
	for name, tt := range map[string]struct {
		base, rule policy.Rule
		want       string
	}{
		"together over the budget": {policy.Rule{Grace: 15 * sec}, policy.Rule{Spread: 10 * sec},
			`policy: route "/a" needs 25s (grace 15s + spread 10s) but the budget leaves 23s of 25s (announce 0s, reserve 2s): shorten the rule by 2s or raise Budget.Total to 27s`},
		"alone over the budget": {policy.Rule{Grace: 30 * sec}, policy.Rule{Grace: sec},
			"policy: the rule for every route needs 30s (grace 30s) but the budget leaves 23s of 25s (announce 0s, reserve 2s): shorten the rule by 7s or raise Budget.Total to 32s"},
		"not valid": {policy.Rule{Mercy: -1}, policy.Rule{}, "policy: the rule for every route: Mercy is -1ns; use zero or more"},
		"not valid together": {policy.Rule{Reconnect: policy.Window{Max: 100 * sec}}, policy.Rule{Farewell: policy.Farewell{Reason: reason118 + "{retry}"}},
			`policy: route "/a": close reason "xxxxxxxxxxxxxxxxxxxx"… can grow to 124 bytes, 123 is the most (RFC 6455 5.5); shorten it by 1`},
	} {
		t.Run(name, func(t *testing.T) {
			m := policy.Mux{Default: tt.base}
			m.Handle("/a", tt.rule)
			require.EqualError(t, policy.Check(&m, policy.Budget{}), tt.want)
		})
	}
}

const reason118 = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

// everyField returns a rule with nothing left zero.
func everyField() policy.Rule {
	return policy.Rule{
		Kind: policy.Infinite, Grace: 1 * sec, Spread: 2 * sec, Order: policy.IdleFirst, Priority: -3, Timeout: 3500 * ms, Mercy: 4 * time.Microsecond, MaxAge: time.Hour,
		Reconnect: policy.Window{Min: 5 * sec, Max: 6 * time.Minute},
		Farewell:  policy.Farewell{Code: 4001, Reason: "a", Message: "b <&>", Binary: true, Event: "c", Data: "d\ne"},
	}
}
