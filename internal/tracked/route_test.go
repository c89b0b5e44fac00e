package tracked_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// A route says which request it was and which handler had it, and nothing in it that a client chose
// can pass for anything else.
func TestRoute(t *testing.T) {
	long := strings.Repeat("x", 200)
	for name, c := range map[string]struct{ method, target, pattern, want string }{
		"no pattern":                   {"GET", "/events", "", "GET /events"},
		"the pattern is all":           {"GET", "/events", "GET /events", "GET /events"},
		"the pattern is the path":      {"GET", "/events", "/events", "GET /events"},
		"wildcards":                    {"GET", "/rooms/7", "GET /rooms/{id}", "GET /rooms/7 (pattern GET /rooms/{id})"},
		"an outer mux":                 {"POST", "/rooms/7", "/", "POST /rooms/7 (pattern /)"},
		"a query":                      {"GET", "/a?token=secret", "", "GET /a"},
		"a proxy's client":             {"GET", "http://user:secret@host/a?b", "", "GET /a"},
		"a proxy's client, no path":    {"GET", "http://host", "", "GET /"},
		"a path with a URL in it":      {"GET", "/to/http://host/a", "", "GET /to/http://host/a"},
		"a tunnel":                     {"CONNECT", "host:443", "", "CONNECT host:443"},
		"encoded":                      {"GET", "/a%0A2026/01/01%20FATAL%1B[2J", "", "GET /a%0A2026/01/01%20FATAL%1B[2J"},
		"raw":                          {"GET", "/a\n2026 \x1b[2J\u202e\xff", "", "GET /a%0A2026%20%1B[2J%E2%80%AE%FF"},
		"a path that claims a pattern": {"GET", "/a (pattern /admin)", "/", "GET /a%20(pattern%20/admin) (pattern /)"},
		"long":                         {"GET", "/" + long, "", "GET /" + long[:92] + "..."},
		"just not too long":            {"GET", "/" + long[:95], "", "GET /" + long[:95]},
		"an escape is not cut":         {"GET", "/" + long[:91] + "\n" + long, "", "GET /" + long[:91] + "..."},
		"a long method":                {long, "/", "", long[:97] + "..."},
		"a long pattern":               {"GET", "/a", "/" + long, "GET /a (pattern /" + long[:96] + "...)"},
	} {
		t.Run(name, func(t *testing.T) {
			var r tracked.Response
			req := &http.Request{Method: c.method, RequestURI: c.target, URL: &url.URL{Path: "/not/this"}}
			require.True(t, r.Begin(new(tracked.Registry), req, new(policy.Rule), nil))
			r.SetShape(policy.Auto, "http", c.pattern)
			assert.Equal(t, c.want, r.Route())
			assert.Equal(t, c.pattern, r.Pattern())
		})
	}
}

// A request that no server has read has no target.
func TestRouteOfARequestWithoutATarget(t *testing.T) {
	var r tracked.Response
	req := &http.Request{URL: &url.URL{Path: "/a\nb"}}
	require.True(t, r.Begin(new(tracked.Registry), req, new(policy.Rule), nil))
	req.URL.Path = "/changed"
	assert.Equal(t, "GET /a%0Ab", r.Route())
	r.SetShape(policy.Auto, "http", "GET /{all...}")
	assert.Equal(t, "GET /{all...}", r.Route())
}
