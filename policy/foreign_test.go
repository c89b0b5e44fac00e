package policy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

// The wildcards of other routers would never match. The error has the pattern that is meant.
func TestMuxRefusesForeignPatterns(t *testing.T) {
	for pattern, want := range map[string]string{ // what is meant, and the literal text where that is legal
		// gin, echo, httprouter, fiber
		"/rooms/:id":                `"/rooms/{id}", or "/rooms/%3Aid" for that very path`,
		"GET /rooms/:id/:seat/info": `"GET /rooms/{id}/{seat}/info", or "GET /rooms/%3Aid/%3Aseat/info" for that very path`,
		"h.example/:a/:a":           `"h.example/{a}/{a2}", or "h.example/%3Aa/%3Aa" for that very path`,
		"/rooms/:id/":               `"/rooms/{id}/", or "/rooms/%3Aid/" for that very path`,
		"/:id([0-9/]+)/x":           `"/{id}/x", or "/%3Aid([0-9/]+)/x" for that very path`,
		"/:id?":                     `"/{id}", or "/%3Aid?" for that very path`,
		"/files/*":                  `"/files/{rest...}", or "/files/%2A" for that very path`,
		"/files/*path":              `"/files/{path...}", or "/files/%2Apath" for that very path`,
		"/files/**":                 `"/files/{rest...}", or "/files/%2A*" for that very path`,
		"/*/admin/*":                `"/{any}/admin/{rest...}", or "/%2A/admin/%2A" for that very path`,
		"/{room}/:id":               `"/{room}/{id}", or "/{room}/%3Aid" for that very path`,
		// chi, gorilla/mux, Spring, FastAPI
		"/{id:[0-9]+}":          `"/{id}"`,
		"/{id:[0-9]{3}}/x":      `"/{id}/x"`,
		"/{day:[a-z/]+}/x":      `"/{day}/x"`,
		"/files/{path:[a-z/]+}": `"/files/{path...}"`,
		"/files/{name:[^/]+}":   `"/files/{name}"`,
		"/files/{path:.*}":      `"/files/{path...}"`,
		"/files/{*path}":        `"/files/{path...}"`,
		"/files/{path:path}":    `"/files/{path...}"`,
		"/a/{id}.json":          `"/a/{id}"`,
		"/a/{id?}":              `"/a/{id}"`,
		"/:a/{b:x}":             `"/{a}/{b}"`,
		// Flask, Django, Rocket
		"/rooms/<int:id>":     `"/rooms/{id}", or "/rooms/%3Cint:id>" for that very path`,
		"/rooms/<id>":         `"/rooms/{id}", or "/rooms/%3Cid>" for that very path`,
		`/rooms/<id:\d+>`:     `"/rooms/{id}", or "/rooms/%3Cid:\\d+>" for that very path`,
		"/files/<path:rest>":  `"/files/{rest...}", or "/files/%3Cpath:rest>" for that very path`,
		"/files/<parts..>":    `"/files/{parts...}", or "/files/%3Cparts..>" for that very path`,
		"/é/:straße/<föhn:x>": `"/é/{straße}/{föhn}", or "/é/%3Astraße/%3Cföhn:x>" for that very path`,
	} {
		message := fmt.Sprintf("route %q has another router's wildcards; write %s", pattern, want)
		var m policy.Mux
		require.PanicsWithError(t, "policy: "+message, func() { m.Handle(pattern, policy.Rule{}) })
		require.PanicsWithError(t, "policy: "+message, func() { m.HandleIf(pattern, isJSON, policy.Rule{}) })
		text, err := json.Marshal(map[string]map[string]policy.Rule{"routes": {pattern: {}}})
		require.NoError(t, err)
		_, err = read(string(text))
		require.EqualError(t, err, "policy: drain.json:1: "+message)

		// What it proposes is legal.
		for _, quoted := range strings.Split(strings.TrimSuffix(want, " for that very path"), ", or ") {
			var proposed string
			require.NoError(t, json.Unmarshal([]byte(quoted), &proposed))
			assert.NotPanics(t, func() { m.Handle(proposed, policy.Rule{}) }, proposed)
		}
	}
}

// What only looks like another router's pattern is text, and text with its first character escaped
// is matched as such.
func TestMuxTakesLiteralText(t *testing.T) {
	for pattern, path := range map[string]string{
		"/v1/things:batch":    "/v1/things:batch",
		"/v1/{thing}/a:b":     "/v1/x/a:b",
		"/a*b/c*":             "/a*b/c*",
		"/:":                  "/:",
		"/:8080/":             "/:8080/x",
		"/a<b>":               "/a<b>",
		"/*.txt":              "/*.txt",
		"/rooms/%3Aid":        "/rooms/:id",
		"/files/%2A":          "/files/*",
		"GET h/%3Cint:id>":    "/<int:id>",
		"/{rest...}":          "/x/y",
		"/a/{$}":              "/a/",
		"/a/{_x1}/{ü}/":       "/a/b/c/",
		"/a/<b/c>":            "/a/<b/c>",
		"/():x/:(a/b":         "/():x/:(a/b",
		"localhost:80/things": "",
	} {
		var m policy.Mux
		require.NotPanics(t, func() { m.Handle(pattern, numbered(1)) }, pattern)
		if path == "" {
			continue
		}
		req := httptest.NewRequest("GET", "http://h/", nil)
		req.URL.Path = path
		assert.Equal(t, numbered(1), m.Rule(req), pattern)
	}
	for _, pattern := range []string{"/{z", "/{}", "/{:x}", "/a{x}", "/{x...}/y", "none"} { // ServeMux finds those itself
		var m policy.Mux
		assert.PanicsWithError(t, fmt.Sprintf("policy: route %q: %v", pattern, panicOf(func() { new(http.ServeMux).Handle(pattern, http.NotFoundHandler()) })),
			func() { m.Handle(pattern, policy.Rule{}) })
	}
}

func panicOf(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

// FuzzPattern takes any pattern: Handle must panic where ServeMux does, and what it proposes in the
// place of another router's pattern must be legal.
func FuzzPattern(f *testing.F) {
	for _, seed := range []string{
		"/", "GET /rooms/:id", "/*/a/*", "/{id:[0-9]{3}}/x", "/<int:id>/{x}", "/{a}/:a/{a2}", "/:x([", "h/{*p}", "/{x...}/:y", "/:/\xff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		illegal := panicOf(func() { new(http.ServeMux).Handle(pattern, http.NotFoundHandler()) })
		got := panicOf(func() { new(policy.Mux).Handle(pattern, policy.Rule{}) })
		if got == nil {
			require.Nil(t, illegal, "%q", pattern)
			return
		}
		_, proposal, foreign := strings.Cut(fmt.Sprint(got), "another router's wildcards; write ")
		if !foreign {
			require.NotNil(t, illegal, "%q: %v", pattern, got)
		} else if illegal == nil {
			require.Contains(t, proposal, "for that very path")
		}
	})
}
