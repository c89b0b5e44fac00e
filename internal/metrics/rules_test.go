package metrics_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	alertsFile    = "../../middleware/metrics/prommetrics/alerts.yaml"
	dashboardFile = "../../middleware/metrics/prommetrics/dashboard.json"
)

var promQL = parser.NewParser(parser.Options{})

// alerts returns the expressions of the alerting rules by name, each in one line, as Prometheus reads
// them: promtool check rules does the same.
func alerts(t *testing.T) map[string]string {
	t.Helper()
	groups, errs := rulefmt.ParseFile(alertsFile, false, model.UTF8Validation, promQL, slog.Default())
	require.Empty(t, errs)
	found := map[string]string{}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			found[r.Alert] = strings.Join(strings.Fields(r.Expr), " ")
			assert.NotEmpty(t, r.Annotations["summary"], r.Alert)
		}
	}
	return found
}

// What fires each alert, and what doesn't.
func TestAlerts(t *testing.T) {
	const cut, other = `lastcall_responses_total{job="shop", instance="a", http_request_method="GET", http_route="/rooms/{id}", lastcall_kind="infinite", lastcall_format="sse", lastcall_outcome="cut", lastcall_reason="drain"}`,
		`lastcall_responses_total{job="shop", instance="a", http_request_method="GET", http_route="/rooms/{id}", lastcall_kind="infinite", lastcall_format="sse", lastcall_outcome="told", lastcall_reason="drain"}`
	const first = `{job="shop", http_request_method="GET", http_route="/rooms/{id}"}`
	histogram := func(name string, above string) string {
		series := func(le, values string) string {
			return fmt.Sprintf("  %s_bucket{job=\"shop\", http_request_method=\"GET\", http_route=\"/slow\", le=\"%s\"} %s\n", name, le, values)
		}
		return series("1", "0+1x40") + series("2.5", "0+1x40") + series("5", above) + series("+Inf", above)
	}
	for _, test := range []struct{ alert, name, load, at, want string }{
		{"DrainHadToCut", "the instance is gone since its last scrape", cut + " _x4 3 3 stale", "10m", first + " 3"},
		{"DrainHadToCut", "a second drain", cut + " 3x80 4x40", "24m", first + " 1.0169491525423728"},
		{"DrainHadToCut", "cut long ago", cut + " 3x200", "40m", ""},
		{"DrainHadToCut", "cut a quarter of an hour ago", cut + " _x4 3 3 stale", "20m", ""},
		{"DrainHadToCut", "none was cut", other + " 3x40", "5m", ""},
		{"DrainHadToCut", "cut by its age", strings.Replace(cut, `"drain"`, `"age"`, 1) + " _x4 3 3", "2m", ""},
		{"DrainNearItsDeadline", "4 s before it", `lastcall_drain_deadline_timestamp_seconds{job="shop", instance="a"} 64x4
  http_server_active_requests{job="shop", instance="a", lastcall_format="sse"} 2x4`, "1m", `{job="shop", instance="a"} 4`},
		{"DrainNearItsDeadline", "nothing is open", `lastcall_drain_deadline_timestamp_seconds{job="shop", instance="a"} 64x4
  http_server_active_requests{job="shop", instance="a", lastcall_format="sse"} 0x4
  http_server_active_requests{job="shop", instance="b", lastcall_format="sse"} 7x4`, "1m", ""},
		{"DrainNearItsDeadline", "time enough", `lastcall_drain_deadline_timestamp_seconds{job="shop", instance="a"} 80x4
  http_server_active_requests{job="shop", instance="a", lastcall_format="sse"} 2x4`, "1m", ""},
		{"RequestsWhileDraining", "many", `lastcall_responses_total{job="shop", instance="a", lastcall_outcome="refused"} 0+10x20`, "5m", `{job="shop", instance="a"} 200`},
		{"RequestsWhileDraining", "few", `lastcall_responses_total{job="shop", instance="a", lastcall_outcome="refused"} 0x19 4`, "5m", ""},
		{"SlowFirstByte", "one in two begins late", histogram("lastcall_time_to_first_byte_seconds", "0+2x40"), "10m", `{job="shop", http_request_method="GET", http_route="/slow"} 4.75`},
		{"SlowFirstByte", "all begin in time", histogram("lastcall_time_to_first_byte_seconds", "0+1x40"), "10m", ""},
		{"SlowFirstByte", "streams that last", histogram("lastcall_stream_duration_seconds", "0+2x40"), "10m", ""},
		{"SlowResponses", "one in two takes long", histogram("lastcall_response_duration_seconds", "0+2x40"), "10m", `{job="shop", http_request_method="GET", http_route="/slow"} 4.75`},
		{"SlowResponses", "streams that last", histogram("lastcall_stream_duration_seconds", "0+2x40"), "10m", ""},
	} {
		t.Run(test.alert+": "+test.name, func(t *testing.T) {
			expr := alerts(t)[test.alert]
			require.NotEmpty(t, expr)
			engine := promqltest.NewTestEngine(t, false, 5*time.Minute, 1e6)
			promqltest.RunTest(t, fmt.Sprintf("load 15s\n  %s\n\neval instant at %s %s\n  %s\n", strings.TrimSpace(test.load), test.at, expr, test.want), engine)
		})
	}
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
