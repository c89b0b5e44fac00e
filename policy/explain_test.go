package policy_test

import (
	"net/http/httptest"
	"reflect"
	"strings"
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

// An explained is what an Explanation's table says of one route.
type explained struct {
	pattern string
	value   map[string]string // of each field, by its name
	from    map[string]string // where that is specified
}

// parseTable reads the table back. No value may hold ", ".
func parseTable(t *testing.T, e policy.Explanation) (routes []explained) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(e.String(), "\n"), "\n")
	from, rule := strings.Index(lines[0], "FROM"), strings.Index(lines[0], "RULE")
	require.Positive(t, from)
	require.Greater(t, rule, from)
	for _, line := range lines[1:] {
		if pattern := strings.TrimSpace(line[:from]); pattern != "" {
			routes = append(routes, explained{pattern, map[string]string{}, map[string]string{}})
		}
		last := routes[len(routes)-1]
		for _, field := range strings.Split(line[rule:], ", ") {
			name, value, _ := strings.Cut(field, " ")
			require.NotContains(t, last.value, name, "said once")
			last.value[name], last.from[name] = value, strings.TrimSpace(line[from:rule])
		}
	}
	return routes
}

func TestExplainKnowsEveryPolicy(t *testing.T) {
	rule := policy.Rule{Grace: sec, Farewell: policy.Farewell{Message: "\xff", Binary: true}}
	type fields map[string][2]string // value and where it is from, by name
	for name, tt := range map[string]struct {
		policy policy.Policy
		want   fields // some of those of the only route
		rule   policy.Rule
	}{
		"nil":            {nil, fields{"grace": {"0s (finite: to the end)", "default"}, "mercy": {"1s", "default"}}, policy.Rule{}},
		"rule":           {rule, fields{"grace": {"1s", "all routes"}, "message": {`"\xff" (binary)`, "all routes"}, "timeout": {"3s", "default"}}, rule},
		"rule's address": {&rule, fields{"grace": {"1s", "all routes"}}, rule},
		"nil mux":        {(*policy.Mux)(nil), fields{"kind": {"auto", "default"}}, policy.Rule{}},
		"empty mux":      {&policy.Mux{Default: rule}, fields{"grace": {"1s", "all routes"}}, rule},
		"explains":       {explainer{}, fields{"spread": {"7s", "all routes"}}, policy.Rule{Spread: 7 * sec}},
	} {
		t.Run(name, func(t *testing.T) {
			routes := parseTable(t, policy.Explain(tt.policy))
			require.Len(t, routes, 1)
			for field, want := range tt.want {
				assert.Equal(t, want, [2]string{routes[0].value[field], routes[0].from[field]}, field)
			}
			assert.Equal(t, parseTable(t, policy.Explain(tt.rule))[0].value, routes[0].value)
		})
	}
	assert.Equal(t, "ROUTE  FROM                RULE\n(all)  policy_test.opaque  rule decided for each request\n", policy.Explain(opaque{}).String())
	assert.Equal(t, "ROUTE  FROM  RULE\n", policy.Explanation{}.String())
}

type explainer struct{ opaque }

func (explainer) Explain() policy.Explanation { return policy.Explain(policy.Rule{Spread: 7 * sec}) }

// By reflection, so that a field added to Rule can't be left out: each one that is set has to show.
func TestExplainTakesEveryField(t *testing.T) {
	every := everyField()
	v := reflect.ValueOf(&every).Elem()
	for i := range v.NumField() {
		var alone policy.Rule
		reflect.ValueOf(&alone).Elem().Field(i).Set(v.Field(i))
		route := parseTable(t, policy.Explain(alone))[0]
		assert.NotEqual(t, parseTable(t, policy.Explain(policy.Rule{}))[0].value, route.value, v.Type().Field(i).Name)
		count := 0
		for _, from := range route.from {
			if from != "default" {
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

// The table shows the rule that a request gets.
func TestMuxDefault(t *testing.T) {
	base := policy.Rule{Grace: 4 * sec, Timeout: 2 * sec, Farewell: policy.Farewell{Code: 4000}}
	m := policy.Mux{Default: base}
	own := policy.Rule{Timeout: sec, Farewell: policy.Farewell{Reason: "own"}}
	m.Handle("GET /live", own)
	want := map[string]policy.Rule{"/live": own.Over(base), "/else": base, "//live": base}
	for path, rule := range want {
		assert.Equal(t, rule, m.Rule(httptest.NewRequest("GET", "http://h"+path, nil)), path)
	}
	routes := parseTable(t, policy.Explain(&m))
	require.Len(t, routes, 2)
	for i, path := range []string{"/live", "/else"} {
		assert.Equal(t, parseTable(t, policy.Explain(want[path]))[0].value, routes[i].value, path)
	}

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
