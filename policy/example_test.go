package policy_test

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
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

// One path may have several kinds of answers: who asks for an event stream has another rule.
func ExampleMux_HandleIf() {
	wantsEvents := func(r *http.Request) bool {
		return strings.Contains(r.Header.Get("Accept"), "text/event-stream")
	}
	var m policy.Mux
	m.Handle("GET /builds/{id}", policy.LetFinish())
	m.HandleIf("GET /builds/{id}", wantsEvents, policy.TellComeBack())
	fmt.Println(policy.Check(&m, policy.Budget{}))

	for _, accept := range []string{"application/json", "text/event-stream"} {
		req := httptest.NewRequest("GET", "/builds/7", nil)
		req.Header.Set("Accept", accept)
		fmt.Println(accept, m.Rule(req).Kind)
	}
	// Output:
	// <nil>
	// application/json finite
	// text/event-stream infinite
}

// The usual cases have names, so that most tables hold no number.
func ExampleTellComeBack() {
	var m policy.Mux
	m.Handle("GET /live", policy.TellComeBack())
	m.Handle("GET /game/{table}", policy.TellStayAway())
	m.Handle("GET /report", policy.LetFinish())
	m.Handle("/debug/", policy.CutAtOnce())
	m.Handle("/tunnel", policy.LeaveAlone())
	// What one of them doesn't say as wanted is laid over it.
	m.Handle("GET /ticker", policy.Rule{Spread: 15 * time.Second}.Over(policy.TellComeBack()))
	fmt.Println(policy.Check(&m, policy.Budget{}))

	r := m.Rule(httptest.NewRequest("GET", "/ticker", nil))
	fmt.Println(r.Kind, r.Spread, r.Farewell.Code)
	// Output:
	// <nil>
	// infinite 15s 1012
}

// A rule that can't keep its word under the platform's deadline is found out before the first
// request.
func ExampleBudget_Fit() {
	budget := policy.Budget{Total: 25 * time.Second, Announce: 5 * time.Second}
	fmt.Println(budget.Fit("GET /ticker", policy.Rule{Spread: 15 * time.Second}))
	fmt.Println(budget.Fit("GET /events", policy.Rule{Grace: 10 * time.Second, Spread: 20 * time.Second, Mercy: time.Second}))
	// Output:
	// <nil>
	// policy: route "GET /events" needs 31s (grace 10s + spread 20s + mercy 1s) but the budget leaves 18s of 25s (announce 5s, reserve 2s): shorten the rule by 13s or raise Budget.Total to 38s
}

// A policy in a file: all that is wrong with it is found before the server takes its first request.
func ExampleRead() {
	_, err := policy.Read(strings.NewReader(`{
	"budget": {"total": "20s"},
	"routes": {
		"GET /live": {"use": "tell-come-back", "spred": "15s"},
		"GET /ticker": {"spread": "30s"},
		"GET /{page}": {"timeout": "3"}
	}
}`), "drain.json")
	fmt.Println(err)
	// Output:
	// policy: drain.json:4: unknown field "spred"; a rule has use, kind, grace, spread, order, priority, timeout, mercy, maxage, reconnect, farewell, format, ending, admit
	// policy: drain.json:5: route "GET /ticker" needs 30s (spread 30s) but the budget leaves 18s of 20s (announce 0s, reserve 2s): shorten the rule by 12s or raise Budget.Total to 32s
	// policy: drain.json:6: timeout is "3"; write a number with its unit, such as "1.5s" or "200ms", or "at once"
}

func ExampleFile() {
	file, err := policy.Read(strings.NewReader(`{
	"budget": {"total": "40s", "announce": "5s"},
	"routes": {
		"GET /live": "tell-come-back",
		"GET /ticker": {"spread": "15s", "timeout": "at once", "priority": 1}
	}
}`), "drain.json")
	if err != nil {
		log.Fatal(err)
	}
	routes, err := file.Mux()
	if err != nil {
		log.Fatal(err)
	}
	// These two are what a middleware.Drainer takes.
	r := routes.Rule(httptest.NewRequest("GET", "/ticker", nil))
	b := file.Budget.WithDefaults()
	fmt.Println(r.Spread, r.Priority, b.Total-b.Announce-b.Reserve)

	written, _ := json.Marshal(file)
	fmt.Println(string(written))
	// Output:
	// 15s 1 33s
	// {"budget":{"total":"40s","announce":"5s"},"routes":{"GET /live":{"kind":"infinite","spread":"5s","farewell":{"code":1012,"reason":"service restart; retry={retry}","event":"shutdown","data":"{\"retry\":{retry}}"}},"GET /ticker":{"spread":"15s","priority":1,"timeout":"at once"}}}
}

func ExampleExplain() {
	routes := policy.Mux{Default: policy.Rule{Mercy: 500 * time.Millisecond}}
	routes.Handle("GET /live", policy.Rule{Spread: 10 * time.Second, Farewell: policy.Farewell{Data: "bye"}}.Over(policy.TellStayAway()))
	for _, line := range strings.Split(policy.Explain(&routes).String(), "\n")[:4] {
		fmt.Println(line)
	}
	// Output:
	// ROUTE         FROM        RULE
	// GET /live     pattern     kind infinite, spread 10s, code 1000, reason `closed; do not reconnect`, event `shutdown`, data `bye`
	//               all routes  mercy 500ms
	//               default     grace 0s, order random, priority 0, timeout 250ms (WebSocket: 3s), reconnect 1s to 5s, send all, format auto, ending auto, admit false
}

// What the environment says stands above what the program, or a file, says.
func ExampleFromEnv() {
	manifest := map[string]string{"TERMINATION_GRACE_PERIOD_SECONDS": "60", "LASTCALL_ANNOUNCE": "5s"}
	lookup := func(name string) (string, bool) { value, set := manifest[name]; return value, set } // os.LookupEnv
	budget, err := policy.FromEnv(lookup)
	if err != nil {
		log.Fatal(err)
	}
	budget = budget.Over(policy.Budget{Reserve: time.Second})
	fmt.Println(budget.Total, budget.Announce, budget.Reserve)
	// Output:
	// 55s 5s 1s
}

// A table that can be replaced, say on SIGHUP: a bad one changes nothing.
func ExampleSwap() {
	var rules policy.Swap // as a middleware.Drainer's Policy
	var budget policy.Budget
	fmt.Println(rules.Store(policy.TellComeBack(), budget))
	fmt.Println(rules.Store(policy.Rule{Spread: time.Minute}, budget))
	fmt.Println(rules.Rule(nil).Spread)
	// Output:
	// <nil>
	// policy: the rule for every route needs 1m0s (spread 1m0s) but the budget leaves 23s of 25s (announce 0s, reserve 2s): shorten the rule by 37s or raise Budget.Total to 1m2s
	// 5s
}

func ExamplePlan() {
	events := &policy.Rule{Grace: 2 * time.Second, Timeout: 5 * time.Second}
	budget := policy.Budget{}.WithDefaults()
	plan := policy.NewPlan(budget.Total-budget.Announce-budget.Reserve, 1)
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
