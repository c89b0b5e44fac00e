package policy_test

import (
	"reflect"
	"strings"
	"testing"

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
              default     grace 0s, order random, priority 0, reconnect 1s to 5s, send all, format auto, ending auto, admit false
/tunnel       pattern     grace to the end, spread at once, timeout at once, mercy at once
              default     kind auto, order random, priority 0, reconnect 1s to 5s, code 1012, reason `+"`service restart; retry={retry}`, event `shutdown`, data `{\"retry\":{retry}}`"+`, send all, format auto, ending auto, admit false
GET /export   pattern     kind finite
              all routes  timeout 2s, mercy 2s
              default     grace to the end, spread 0s, order random, priority 0, reconnect 1s to 5s, code 1012, reason `+"`service restart; retry={retry}`, event `shutdown`, data `{\"retry\":{retry}}`"+`, send all, format auto, ending auto, admit false
(all others)  all routes  timeout 2s, mercy 2s
              default     kind auto, grace 0s (finite: to the end), spread 0s, order random, priority 0, reconnect 1s to 5s, code 1012, reason `+"`service restart; retry={retry}`, event `shutdown`, data `{\"retry\":{retry}}`"+`, send all, format auto, ending auto, admit false
`, policy.Explain(&m).String())
}

// An explained is one route in an Explanation's table.
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
			require.NotContains(t, last.value, name, "each field once")
			last.value[name], last.from[name] = value, strings.TrimSpace(line[from:rule])
		}
	}
	return routes
}

func TestExplainPolicies(t *testing.T) {
	rule := policy.Rule{Grace: sec, Farewell: policy.Farewell{Message: "\xff", Binary: true}}
	type fields map[string][2]string // value and where it is from, by name
	for name, tt := range map[string]struct {
		policy policy.Policy
		want   fields // some of those of the only route
		rule   policy.Rule
	}{
		"nil":            {nil, fields{"grace": {"0s (finite: to the end)", "default"}, "mercy": {"1s", "default"}}, policy.Rule{}},
		"rule":           {rule, fields{"grace": {"1s", "all routes"}, "message": {`"\xff" (binary)`, "all routes"}, "timeout": {"250ms (WebSocket: 3s)", "default"}}, rule},
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

// By reflection, so that a new field of Rule can't be left out: each one that is set has to show.
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
