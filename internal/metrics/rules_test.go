package metrics_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const (
	alertsFile    = "../../middleware/metrics/prommetrics/alerts.yaml"
	dashboardFile = "../../middleware/metrics/prommetrics/dashboard.json"
)

// promtool runs Prometheus's own tool for rules: $LASTCALL_PROMTOOL, or else the promtool on the
// PATH. It skips the test where there is none; with the variable set it fails instead.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path := os.Getenv("LASTCALL_PROMTOOL")
	if path == "" {
		var err error
		if path, err = exec.LookPath("promtool"); err != nil {
			t.Skip("promtool is not installed")
		}
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// What fires each alert, and what doesn't.
func TestAlerts(t *testing.T) {
	promtool(t, "check", "rules", alertsFile)
	promtool(t, "test", "rules", strings.Replace(alertsFile, ".yaml", "_test.yaml", 1))
	tested, err := os.ReadFile(strings.Replace(alertsFile, ".yaml", "_test.yaml", 1))
	require.NoError(t, err)
	for alert := range alerts(t) {
		assert.Contains(t, string(tested), "alertname: "+alert)
	}
}

// alerts returns the expressions of the alerting rules by name.
func alerts(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(alertsFile)
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	found := map[string]string{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			found[r.Alert] = r.Expr
			assert.NotEmpty(t, r.Annotations["summary"], r.Alert)
		}
	}
	return found
}

// Every query of the dashboard is one that Prometheus takes, of metrics and labels that there are.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile(dashboardFile)
	require.NoError(t, err)
	var dashboard struct {
		Panels []struct {
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
		Annotations struct{ List []struct{ Expr string } }
	}
	require.NoError(t, json.Unmarshal(text, &dashboard))
	queries := map[string]string{}
	taken := map[[2]int]string{}
	for _, p := range dashboard.Panels {
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			queries[target.Expr] = p.Title
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				require.Empty(t, taken[[2]int{x, y}], "%s lies over another panel", p.Title)
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
	for _, a := range dashboard.Annotations.List {
		queries[a.Expr] = "annotation"
	}
	for name, expr := range alerts(t) {
		queries[expr] = name
	}
	require.Greater(t, len(queries), 15)
	known := metricsAndLabels(t)
	promQL := parser.NewParser(parser.Options{})
	variables := strings.NewReplacer("$__rate_interval", "1m", "$__range", "30m", "$job", ".*")
	for query, of := range queries {
		expr, err := promQL.ParseExpr(variables.Replace(query))
		require.NoError(t, err, "%s: %s", of, query)
		parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
			switch n := node.(type) {
			case *parser.VectorSelector:
				labels := known[n.Name]
				assert.NotNil(t, labels, "%s: no metric %s", of, n.Name)
				for _, m := range n.LabelMatchers {
					assert.True(t, labels[m.Name], "%s: %s has no label %s", of, n.Name, m.Name)
				}
			case *parser.AggregateExpr:
				for _, label := range n.Grouping {
					assert.Regexp(t, regexp.MustCompile(`^(job|instance|le|http_(route|request_method)|lastcall_\w+)$`), label)
				}
			}
			return nil
		})
	}
}
