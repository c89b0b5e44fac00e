package policy_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

func TestMuxRule(t *testing.T) {
	var m policy.Mux
	for i, pattern := range []string{
		"/events", "GET /events", "/ws/{room}", "/ws/{room}/admin", "/files/", "api.example.com/events", "POST /only", "/end/{$}",
	} {
		m.Handle(pattern, numbered(i+1))
	}
	for _, tt := range []struct {
		method, target string
		want           int
	}{
		{"GET", "http://h/events", 2},
		{"HEAD", "http://h/events", 2},
		{"POST", "http://h/events", 1},
		{"GET", "http://h/events?last=3", 2},
		{"GET", "http://h:8080/events", 2},
		{"GET", "http://api.example.com/events", 6},
		{"GET", "http://api.example.com:8080/events", 6},
		{"GET", "http://h/ws/blue", 3},
		{"GET", "http://h/ws/blue%2Fgreen", 3},
		{"GET", "http://h/ws/blue/admin", 4},
		{"GET", "http://h/files/", 5},
		{"GET", "http://h/files/a/b", 5},
		{"GET", "http://h/end/", 8},
		{"CONNECT", "/events", 1},

		{"GET", "http://h/", 0},
		{"GET", "http://h/nothing", 0},
		{"GET", "http://h/ws/blue/other", 0},
		{"GET", "http://h/only", 0},   // would be 405
		{"GET", "http://h/files", 0},  // would be a redirect
		{"GET", "http://h//files", 0}, // the same
		{"GET", "http://h/end/more", 0},
	} {
		req := httptest.NewRequest(tt.method, tt.target, nil)
		assert.Equal(t, numbered(tt.want), m.Rule(req), "%s %s", tt.method, tt.target)
		assert.Empty(t, req.Pattern, "the request is the application's")
	}
}

func TestMuxZeroAndNil(t *testing.T) {
	req := httptest.NewRequest("GET", "/x", nil)
	assert.Zero(t, new(policy.Mux).Rule(req))
	assert.Zero(t, (*policy.Mux)(nil).Rule(req))
	assert.Equal(t, numbered(1), (&policy.Mux{Default: numbered(1)}).Rule(req))
	assert.NoError(t, policy.Check(new(policy.Mux), policy.Budget{}))
}

// The application may have a catch-all of its own, however it is written.
func TestMuxCatchAll(t *testing.T) {
	for _, pattern := range []string{"/", "/{rest...}", "GET /", "GET /{rest...}"} {
		var m policy.Mux
		m.Handle(pattern, numbered(1))
		m.Handle("GET /events", numbered(2))
		assert.Equal(t, numbered(1), m.Rule(httptest.NewRequest("GET", "/any/thing", nil)), pattern)
		assert.Equal(t, numbered(2), m.Rule(httptest.NewRequest("GET", "/events", nil)), pattern)
	}
}

// ServeMux redirects a path without its last slash even where a pattern for the rest would match.
func TestMuxRedirects(t *testing.T) {
	for _, rest := range []string{"/{rest...}", "/"} {
		for _, below := range []string{"/a/", "/a/{$}", "/a/{more...}", "GET /a/"} {
			m := policy.Mux{Default: numbered(1)}
			m.Handle(rest, numbered(2))
			m.Handle(below, numbered(3))
			for target, want := range map[string]int{"/a": 1, "//a/": 1, "/b/../a/": 1, "/a/": 3, "/b": 2} {
				req := httptest.NewRequest("GET", "http://h"+target, nil)
				assert.Equal(t, numbered(want), m.Rule(req), "%s beside %s: %s", below, rest, target)
			}
		}
	}
}

func TestMuxPanics(t *testing.T) {
	message := func(f func()) (text string) {
		defer func() { text = fmt.Sprint(recover()) }()
		f()
		return ""
	}
	for name, tt := range map[string]struct {
		pattern string
		rule    policy.Rule
		want    string
	}{
		"same":     {"GET /a/{x}", policy.Rule{}, `policy: route "GET /a/{x}" conflicts with "GET /a/{x}": they match`},
		"overlap":  {"/{y}/b", policy.Rule{}, `policy: route "/{y}/b" conflicts with "GET /a/{x}": they match`},
		"empty":    {"", policy.Rule{}, `policy: route "": http: invalid pattern`},
		"unclosed": {"/{z", policy.Rule{}, `policy: route "/{z": parsing "/{z": at offset 1: bad wildcard segment`},
		"rule": {
			"GET /fine", policy.Rule{Grace: -1, Farewell: policy.Farewell{Code: 1005}},
			"policy: route \"GET /fine\": Grace is -1ns; use zero or more\n" +
				"policy: route \"GET /fine\": close code 1005 may not be sent (RFC 6455 7.4.1); use 1000-1003, 1007-1014 or 3000-4999",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var m policy.Mux
			m.Handle("GET /a/{x}", policy.Rule{Grace: time.Hour})
			require.Contains(t, message(func() { m.Handle(tt.pattern, tt.rule) }), tt.want)
			require.ErrorContains(t, policy.Check(&m, policy.Budget{}), "GET /a/{x}", "what was there stays")
			require.Zero(t, m.Rule(httptest.NewRequest("GET", "/fine", nil)), "what panicked is not there")
		})
	}
}

// A route that is added after the first request would lack the default.
func TestMuxHandleAfterTheFirstRequest(t *testing.T) {
	var m policy.Mux
	m.Handle("/a", numbered(1))
	m.Rule(httptest.NewRequest("GET", "/a", nil))
	require.PanicsWithError(t, `policy: route "/b" comes after the first request; give it before, or store a new Mux in a Swap`,
		func() { m.Handle("/b", numbered(2)) })
}

var routes = []string{
	"GET /events", "POST /events", "/ws/{room}", "/files/", "GET /api/v1/users/{id}", "PUT /api/v1/users/{id}",
	"GET /api/v1/users/{id}/posts/{post}", "GET /api/v1/search", "api.example.net/", "/healthz",
}

// A lookup allocates no more than ServeMux does, and half of that at most where no pattern matches.
func TestMuxAllocatesNoMoreThanServeMux(t *testing.T) {
	var m policy.Mux
	var plain http.ServeMux
	for _, pattern := range routes {
		m.Handle(pattern, numbered(1))
		plain.Handle(pattern, http.NotFoundHandler())
	}
	for _, target := range []string{"/events", "/ws/blue", "/api/v1/users/7/posts/9", "/nothing/here", "/files"} {
		req := httptest.NewRequest("GET", target, nil)
		want := testing.AllocsPerRun(100, func() { plain.Handler(req) })
		if target == "/nothing/here" {
			want /= 2
		}
		assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { m.Rule(req) }), want, target)
	}
}

func TestMuxConcurrentUse(t *testing.T) {
	var m policy.Mux
	m.Handle("/events", numbered(1))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			req := httptest.NewRequest("GET", "/events", nil)
			for range 100 {
				if m.Rule(req) != numbered(1) {
					t.Error("lost its rule")
				}
			}
		})
	}
	wg.Wait()
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

func TestMuxCheckWithDefault(t *testing.T) {
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
