package policy_test

import (
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

func ExampleMux() {
	var m policy.Mux
	m.Handle("/", policy.Rule{Kind: policy.Finite})
	m.Handle("GET /events", policy.Rule{Kind: policy.Infinite, Spread: 10 * time.Second})
	m.Handle("GET /chat/{room}", policy.Rule{
		Kind:     policy.Infinite,
		Spread:   5 * time.Second,
		Farewell: policy.Farewell{Code: 4012, Reason: "back in {retry} ms"},
	})

	for _, path := range []string{"/events", "/chat/blue", "/index.html"} {
		r := m.Rule(httptest.NewRequest("GET", path, nil))
		fmt.Println(path, r.Kind, r.Spread, r.Farewell.Expand(1500*time.Millisecond).Reason)
	}
	// Output:
	// /events infinite 10s service restart; retry=1500
	// /chat/blue infinite 5s back in 1500 ms
	// /index.html finite 0s service restart; retry=1500
}

// A rule that can't keep its word under the platform's deadline is found out before the first request.
func ExampleBudget_Fit() {
	budget := policy.Budget{Total: 25 * time.Second, Announce: 5 * time.Second}
	fmt.Println(budget.Fit("GET /ticker", policy.Rule{Spread: 15 * time.Second}))
	fmt.Println(budget.Fit("GET /events", policy.Rule{Grace: 10 * time.Second, Spread: 20 * time.Second, Mercy: time.Second}))
	// Output:
	// <nil>
	// policy: route "GET /events" needs 31s (grace 10s + spread 20s + mercy 1s) but the budget leaves 18s of 25s (announce 5s, reserve 2s): shorten the rule by 13s or raise Budget.Total to 38s
}

func ExamplePlan() {
	events := &policy.Rule{Grace: 2 * time.Second, Timeout: 5 * time.Second}
	plan := policy.NewPlan(policy.Budget{}.Work(), 1)
	found := plan.Begin([]policy.Subject{
		{Kind: policy.Finite},
		{Kind: policy.Infinite, Rule: events},
	})
	late := plan.Late(policy.Subject{Kind: policy.Infinite, Rule: events}, 20*time.Second)
	for _, m := range append(found, late) {
		fmt.Println("farewell", m.Farewell, "cancel", m.Cancel, "cut", m.Cut)
	}
	// Output:
	// farewell 0s cancel 22s cut 23s
	// farewell 2s cancel 7s cut 8s
	// farewell 20s cancel 22.5s cut 23s
}
