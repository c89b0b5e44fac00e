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

// numbered returns a rule that can be told from others.
func numbered(n int) policy.Rule { return policy.Rule{Grace: time.Duration(n) * sec} }

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
	assert.NoError(t, new(policy.Mux).Check(policy.Budget{}))
}

// A pattern for all the rest stays the application's, however it is written.
func TestMuxWithARuleForTheRest(t *testing.T) {
	for _, pattern := range []string{"/", "/{rest...}", "GET /", "GET /{rest...}"} {
		var m policy.Mux
		m.Handle(pattern, numbered(1))
		m.Handle("GET /events", numbered(2))
		assert.Equal(t, numbered(1), m.Rule(httptest.NewRequest("GET", "/any/thing", nil)), pattern)
		assert.Equal(t, numbered(2), m.Rule(httptest.NewRequest("GET", "/events", nil)), pattern)
	}
}

// ServeMux redirects a path without its last slash even where a pattern for the rest would match.
func TestMuxGivesARedirectTheDefault(t *testing.T) {
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
			require.ErrorContains(t, m.Check(policy.Budget{}), "GET /a/{x}", "what was there stays")
			require.Zero(t, m.Rule(httptest.NewRequest("GET", "/fine", nil)), "what panicked is not there")
		})
	}
}

// A route that came later would have had no rule at all, not even the default.
func TestMuxInUseIsClosed(t *testing.T) {
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

// The lookup must not cost a request more than the one in ServeMux that it is, and what no pattern
// matches not as much.
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

func TestMuxIsForManyAtOnce(t *testing.T) {
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
