package policy_test

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

// A ruled is a ServeMux's handler that says which rule it stands for.
type ruled struct{ policy.Rule }

func (ruled) ServeHTTP(http.ResponseWriter, *http.Request) {}

// Tables are a Mux and a ServeMux with the same patterns.
type tables struct {
	mux      policy.Mux
	plain    http.ServeMux
	patterns []string
}

// handle gives both the pattern, if it is one for either.
func (both *tables) handle(t *testing.T, pattern string) {
	rule := numbered(len(both.patterns) + 2)
	refused := panics(func() { both.plain.Handle(pattern, ruled{rule}) })
	require.Equal(t, refused, panics(func() { both.mux.Handle(pattern, rule) }), "%q after %q", pattern, both.patterns)
	if !refused {
		both.patterns = append(both.patterns, pattern)
	}
}

func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

// compare asks both, and tells whether a pattern matched.
func (both *tables) compare(t *testing.T, req *http.Request) bool {
	want := both.mux.Default
	h, _ := both.plain.Handler(req)
	its, matched := h.(ruled)
	if matched {
		want = its.Rule
	}
	require.Equal(t, want, both.mux.Rule(req), "%s of %+v at %q by %q", req.Method, req.URL, req.Host, both.patterns)
	return matched
}

// Whatever the table, it answers as a ServeMux with the same patterns does.
func TestMuxIsServeMux(t *testing.T) {
	const runs, requests = 2500, 100
	random := rand.New(rand.NewPCG(1, 2))
	one := func(of ...string) string { return of[random.IntN(len(of))] }
	segment := func() string {
		return one("a", "b", "c", "b%2Fc", "é", "a b", "{x}", "{x...}", "{$}", "", "..", "A", "a...}", "%7Bx...}")
	}
	matched := 0
	for range runs {
		both := tables{mux: policy.Mux{Default: numbered(1)}}
		for range 1 + random.IntN(8) {
			path := "/" + segment()
			for range random.IntN(3) {
				path += "/" + segment()
			}
			method := one("", "", "GET ", "GET \t", "HEAD ", "POST ", "CONNECT ", "BREW ")
			both.handle(t, method+one("", "", "", "", "h", "h.example", "[::1]", "h:80")+path)
		}
		for range requests {
			segments := make([]string, random.IntN(4))
			for i := range segments {
				segments[i] = one("a", "b", "b/c", "b%2Fc", "é", "a b", "A", "", "..", "{x}", "%61", "a...}")
			}
			path := "/" + strings.Join(segments, "/")
			if len(both.patterns) > 0 && random.IntN(2) == 0 {
				pattern := one(both.patterns...)
				path = pattern[strings.Index(pattern, "/"):]
			}
			req := &http.Request{
				Method: one("GET", "GET", "HEAD", "POST", "OPTIONS", "CONNECT", "BREW", "get", ""),
				Host:   one("", "h", "h:80", "h.example", "other", "other:80", "::1", "[::1]", "[::1]:80", "H"),
				URL:    &url.URL{Path: path, Host: one("", "", "h")},
			}
			if unescaped, err := url.PathUnescape(path); err == nil && random.IntN(2) == 0 {
				req.URL.Path, req.URL.RawPath = unescaped, path
			}
			if both.compare(t, req) {
				matched++
			}
		}
	}
	require.Greater(t, matched, runs*requests/20, "it must not be all about what no pattern matches")
}

// ServeMux can be had as it was before Go 1.22, when a pattern was a path.
func TestMuxIsServeMuxOfGo121(t *testing.T) {
	again := exec.Command(os.Args[0], "-test.run=^TestMuxIsServeMux$")
	again.Env = append(os.Environ(), "GODEBUG=httpmuxgo121=1")
	out, err := again.CombinedOutput()
	require.NoError(t, err, string(out))
}

func FuzzMux(f *testing.F) {
	f.Add("/a\nGET /a\nh/a", "GET", "h:80", "", "/a", "")
	f.Add("GET \t/b%2Fc\n/b/c", "GET", "", "", "/b/c", "/b%2Fc")
	f.Add("/{x}/b\n/a/{$}", "HEAD", "other", "", "/a/b", "")
	f.Add("/{x...}\n/a/{$}", "GET", "", "", "/a", "")
	f.Add("/{x...}\n/a/", "GET", "", "", "/a", "")
	f.Add("/a", "GET", "", "", "xa", "")
	f.Add("/\nh/a/", "CONNECT", "other", "h", "/a", "")
	f.Fuzz(func(t *testing.T, patterns, method, host, authority, path, raw string) {
		if method == http.MethodConnect && path != "" && path[0] != '/' {
			return // it can't come off the wire, and a pattern "/" makes ServeMux redirect it
		}
		both := tables{mux: policy.Mux{Default: numbered(1)}}
		for _, pattern := range strings.Split(patterns, "\n") {
			both.handle(t, pattern)
		}
		both.compare(t, &http.Request{Method: method, Host: host, URL: &url.URL{Host: authority, Path: path, RawPath: raw}})
	})
}
