package policy_test

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

// A ruled is a ServeMux's handler that says which rule it stands for.
type ruled struct{ policy.Rule }

func (ruled) ServeHTTP(http.ResponseWriter, *http.Request) {}

// Whatever the table, it answers as a ServeMux with the same patterns does.
func TestMuxIsServeMux(t *testing.T) {
	const tables, requests = 2000, 100
	random := rand.New(rand.NewPCG(1, 2))
	one := func(of ...string) string { return of[random.IntN(len(of))] }
	segment := func() string { return one("a", "b", "c", "b%2Fc", "é", "a b", "{x}", "{x...}", "{$}", "", "..", "A") }
	matched := 0
	for range tables {
		var plain http.ServeMux
		table := policy.Mux{Default: numbered(1)}
		var patterns []string
		for range 1 + random.IntN(8) {
			path := "/" + segment()
			for range random.IntN(3) {
				path += "/" + segment()
			}
			method := one("", "", "GET ", "GET \t", "HEAD ", "POST ", "CONNECT ", "BREW ")
			pattern := method + one("", "", "", "", "h", "h.example", "[::1]", "h:80") + path
			rule := numbered(len(patterns) + 2)
			refused := panics(func() { plain.Handle(pattern, ruled{rule}) })
			require.Equal(t, refused, panics(func() { table.Handle(pattern, rule) }), "%q after %q", pattern, patterns)
			if !refused {
				patterns = append(patterns, pattern)
			}
		}
		for range requests {
			segments := make([]string, random.IntN(4))
			for i := range segments {
				segments[i] = one("a", "b", "b/c", "b%2Fc", "é", "a b", "A", "", "..", "{x}", "%61")
			}
			path := "/" + strings.Join(segments, "/")
			if len(patterns) > 0 && random.IntN(2) == 0 {
				pattern := one(patterns...)
				path = pattern[strings.Index(pattern, "/"):]
			}
			req := httptest.NewRequest("GET", "/", nil)
			req.Method = one("GET", "GET", "HEAD", "POST", "OPTIONS", "CONNECT", "BREW", "get", "")
			req.Host = one("", "h", "h:80", "h.example", "other", "other:80", "::1", "[::1]", "[::1]:80", "H")
			req.URL = &url.URL{Path: path, Host: one("", "", "h")}
			if unescaped, err := url.PathUnescape(path); err == nil && random.IntN(2) == 0 {
				req.URL.Path, req.URL.RawPath = unescaped, path
			}
			want := table.Default
			h, _ := plain.Handler(req)
			if its, ok := h.(ruled); ok {
				want = its.Rule
				matched++
			}
			require.Equal(t, want, table.Rule(req), "%s of %+v at %q by %q", req.Method, req.URL, req.Host, patterns)
		}
	}
	require.Greater(t, matched, tables*requests/20, "it must not be all about what no pattern matches")
}

func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}
