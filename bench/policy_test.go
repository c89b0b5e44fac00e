package bench

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

// BenchmarkMux measures finding a request's rule in a table.
func BenchmarkMux(b *testing.B) {
	var rules policy.Mux
	for _, pattern := range []string{
		"GET /events", "POST /events", "/ws/{room}", "/files/", "GET /api/v1/users/{id}", "PUT /api/v1/users/{id}",
		"GET /api/v1/users/{id}/posts/{post}", "GET /api/v1/search", "api.example.net/", "/healthz",
	} {
		rules.Handle(pattern, policy.Rule{Spread: time.Second})
	}
	for _, at := range []struct{ name, target string }{
		{"literal", "/events"}, {"wildcard", "/api/v1/users/7/posts/9"}, {"none", "/nothing/here"},
	} {
		r := httptest.NewRequest(http.MethodGet, at.target, nil)
		b.Run(at.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rules.Rule(r)
			}
		})
	}
}

// BenchmarkPlan1M measures planning a drain with a million streams.
func BenchmarkPlan1M(b *testing.B) {
	const n = 1_000_000
	random := rand.New(rand.NewPCG(1, 1))
	rules := make([]policy.Rule, 10)
	for i := range rules {
		rules[i] = policy.Rule{Spread: 20 * time.Second, Farewell: policy.Farewell{Code: 4000 + i, Reason: "moving", Event: "bye"}}
	}
	oldest := policy.Rule{Spread: 20 * time.Second, Order: policy.OldestFirst}
	for _, bench := range []struct {
		name string
		rule func(i int) *policy.Rule
	}{
		{"one rule", func(int) *policy.Rule { return &rules[0] }},
		{"one rule, oldest first", func(int) *policy.Rule { return &oldest }},
		{"ten rules, mixed", func(i int) *policy.Rule { return &rules[i*7%10] }},
		{"ten rules, each copied", func(i int) *policy.Rule { r := rules[i*7%10]; return &r }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			all := make([]policy.Subject, n)
			for i := range all {
				all[i] = policy.Subject{Rule: bench.rule(i), Kind: policy.Infinite, Age: time.Duration(random.Int64())}
			}
			b.ReportAllocs()
			for b.Loop() {
				policy.NewPlan(23*time.Second, 1).Begin(all)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/stream")
		})
	}
}
