package policy_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

const goodFile = `{
	"budget": {"total": "40s", "announce": "5s", "reserve": "1.5s"},
	"default": {"mercy": "500ms"},
	"routes": {
		"GET /live": "tell-come-back",
		"GET /ticker": {"spread": "15s", "use": "tell-stay-away", "timeout": "at once", "grace": "to the end"},
		"/ws/{room}": {
			"kind": "infinite", "grace": "1s", "spread": "10s", "timeout": "2s", "mercy": "1m", "order": "oldest-first", "priority": 2,
			"reconnect": {"min": "1s", "max": "20s"},
			"farewell": {"code": 4000, "reason": "back", "message": "bye", "binary": true, "event": "e", "data": "d", "send": "nothing"},
			"format": "lines", "ending": "broken", "admit": true
		}
	}
}
`

var goodRoutes = map[string]policy.Rule{
	"GET /live":   policy.TellComeBack(),
	"GET /ticker": policy.Rule{Grace: policy.ToTheEnd, Spread: 15 * sec, Timeout: policy.AtOnce}.Over(policy.TellStayAway()),
	"/ws/{room}": {
		Kind: policy.Infinite, Grace: sec, Spread: 10 * sec, Timeout: 2 * sec, Mercy: time.Minute, Order: policy.OldestFirst, Priority: 2,
		Reconnect: policy.Window{Min: sec, Max: 20 * sec},
		Farewell:  policy.Farewell{Code: 4000, Reason: "back", Message: "bye", Binary: true, Event: "e", Data: "d", Send: policy.SendNothing},
		Format:    policy.LinesFormat, Ending: policy.BrokenEnding, Admit: true,
	},
}

func read(text string) (*policy.File, error) {
	return policy.Read(strings.NewReader(text), "drain.json")
}

func TestRead(t *testing.T) {
	f, err := read(strings.Replace(goodFile, `"1m"`, `"20s"`, 1))
	require.NoError(t, err)
	assert.Equal(t, policy.Budget{Total: 40 * sec, Announce: 5 * sec, Reserve: 1500 * ms}, f.Budget)
	assert.Equal(t, policy.Rule{Mercy: 500 * ms}, f.Default)
	require.Len(t, f.Routes, 3)
	assert.Equal(t, goodRoutes["GET /live"], f.Routes["GET /live"])
	assert.Equal(t, goodRoutes["GET /ticker"], f.Routes["GET /ticker"])
	ws := goodRoutes["/ws/{room}"]
	ws.Mercy = 20 * sec
	assert.Equal(t, ws, f.Routes["/ws/{room}"])

	m, err := f.Mux()
	require.NoError(t, err)
	require.NoError(t, policy.Check(m, f.Budget))
	assert.Equal(t, ws, m.Rule(httptest.NewRequest("GET", "/ws/blue", nil)))
	assert.Equal(t, policy.Rule{Mercy: 500 * ms}, m.Rule(httptest.NewRequest("GET", "/else", nil)))

	routes := parseTable(t, policy.Explain(m))
	require.Len(t, routes, 4)
	for i, want := range []struct{ pattern, field, value, from string }{
		{"GET /live", "spread", "5s", "drain.json:5"},
		{"GET /ticker", "spread", "15s", "drain.json:6"},
		{"/ws/{room}", "mercy", "20s", "drain.json:7"},
		{"(all others)", "mercy", "500ms", "drain.json:3"},
	} {
		assert.Equal(t, want.pattern, routes[i].pattern)
		assert.Equal(t, want.value, routes[i].value[want.field], want.pattern)
		assert.Equal(t, want.from, routes[i].from[want.field], want.pattern)
	}
	assert.Equal(t, "500ms", routes[0].value["mercy"])
	assert.Equal(t, "drain.json:3", routes[0].from["mercy"])

	for _, nothing := range []string{"{}", ` {"routes": {}} `, `{"budget": {}, "default": {}}`} {
		f, err = read(nothing)
		require.NoError(t, err)
		assert.Zero(t, f.Budget)
		m, err = f.Mux()
		require.NoError(t, err)
		assert.Zero(t, m.Rule(httptest.NewRequest("GET", "/", nil)))
	}
}

// One error reports all faults, in the order of the file.
func TestReadReportsEveryFault(t *testing.T) {
	_, err := read(`{
	"budget": {"total": "40s", "anounce": "5s"},
	"default": {"mercy": -1, "grace": "50s"},
	"routes": {
		"GET /a/{x}": "tell-come-bak",
		"GET /{y}/b": {"spread": "soon"},
		"GET /{z": {},
		"GET /c": {"kind": "endless", "kind": "finite", "grace": "-1s"},
		"GET /d": {"farewell": {"code": "4000", "binary": "yes", "data": {"retry": [1, {"a": 2}]}, "event": null}},
		"GET /d": {"spread": "1s"},
		"GET /e": [1, 2], "/f2": {"order": "last", "priority": "1", "ending": "torn", "admit": 1, "farewell": {"send": false}},
		"GET /f": {
			"reconnect": {"min": "2s", "max": "1s"},
			"use": "nothing"
		},
		"GET /a/{other}": {"use": 7}
	},
	"extra": {"deep": [{}, []]}
}`)
	require.EqualError(t, err, strings.TrimSpace(`
policy: drain.json:2: unknown field "anounce"; a budget has total, announce, reserve
policy: drain.json:3: mercy is -1; write a time in quotes, such as "1.5s"
policy: drain.json:5: no rule has the name "tell-come-bak"; use cut-at-once, leave-alone, let-finish, tell-come-back, tell-stay-away
policy: drain.json:6: spread is "soon"; write a number with its unit, such as "1.5s" or "200ms", or "at once"
policy: drain.json:6: route "GET /{y}/b" conflicts with "GET /a/{x}" on line 5: they match some of the same requests, and neither is the more specific; change one
policy: drain.json:7: route "GET /{z": parsing "GET /{z": at offset 5: bad wildcard segment (must end with '}')
policy: drain.json:8: kind "endless" is unknown; use "auto", "finite" or "infinite"
policy: drain.json:8: "kind" is given twice, first on line 8; keep one of them
policy: drain.json:8: route "GET /c": Grace is -1s; use zero or more
policy: drain.json:9: code is "4000"; write a whole number
policy: drain.json:9: binary is "yes"; write true or false
policy: drain.json:9: data is an object; write a string
policy: drain.json:9: event is null; write a string
policy: drain.json:10: "GET /d" is given twice, first on line 9; keep one of them
policy: drain.json:11: the rule is an array; write an object
policy: drain.json:11: order "last" is unknown; use "random", "oldest-first", "youngest-first" or "idle-first"
policy: drain.json:11: priority is "1"; write a whole number
policy: drain.json:11: ending "torn" is unknown; use "auto", "clean" or "broken"
policy: drain.json:11: admit is 1; write true or false
policy: drain.json:11: send is false; write "all", "retry" or "nothing"
policy: drain.json:12: route "GET /f": Reconnect.Min 2s is over Reconnect.Max 1s; set Max to 2s or more
policy: drain.json:14: no rule has the name "nothing"; use cut-at-once, leave-alone, let-finish, tell-come-back, tell-stay-away
policy: drain.json:16: use is 7; write the name of a rule
policy: drain.json:16: route "GET /a/{other}" conflicts with "GET /a/{x}" on line 5: they match some of the same requests, and neither is the more specific; change one
policy: drain.json:18: unknown field "extra"; the file has budget, default, routes`))
}

func TestReadRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":           {"", "policy: drain.json:1: this is not JSON: unexpected end of JSON input"},
		"no JSON":           {"{\n\"budget\": {},\n}", "policy: drain.json:3: this is not JSON: invalid character '}' looking for beginning of object key string"},
		"cut short":         {"{\n\"budget\": {\n", "policy: drain.json:2: this is not JSON: unexpected end of JSON input"},
		"more behind":       {"{}\n\n{}", "policy: drain.json:3: this is not JSON: invalid character '{' after top-level value"},
		"no object":         {"\n[]", "policy: drain.json:2: the file is an array; write an object"},
		"null":              {"null", "policy: drain.json:1: the file is null; write an object"},
		"no routes":         {`{"routes": []}`, "policy: drain.json:1: routes is an array; write an object with a rule for each pattern"},
		"fraction":          {`{"default": {"farewell": {"code": 1e3}}}`, "policy: drain.json:1: code is 1e3; write a whole number"},
		"case":              {`{"Budget": {}}`, `policy: drain.json:1: unknown field "Budget"; the file has budget, default, routes`},
		"not a rule's time": {`{"budget": {"total": "to the end"}}`, `policy: drain.json:1: total is "to the end"; write a number with its unit, such as "1.5s" or "200ms"`},
		"no time left":      {"{\"budget\":\n{\"total\": \"2s\", \"announce\": \"2s\"}}", "policy: drain.json:1: Budget.Announce 2s and Reserve 1s leave nothing of Total 2s for the responses; raise Total over 3s"},
		"over its budget": {"{\"budget\": {\"total\": \"12s\"}, \"default\": {\"grace\": \"2s\"}, \"routes\": {\n\"/a\": {\"spread\": \"10s\"}, \"/b\": \"leave-alone\"}}",
			`policy: drain.json:2: route "/a" needs 12s (grace 2s + spread 10s) but the budget leaves 10.8s of 12s (announce 0s, reserve 1.2s): shorten the rule by 1.2s or raise Budget.Total to 13.334s`},
		"default over the budget": {"{\"budget\": {\"total\": \"12s\"},\n\"default\": {\"grace\": \"11s\"}}",
			`policy: drain.json:2: the rule for every route needs 11s (grace 11s) but the budget leaves 10.8s of 12s (announce 0s, reserve 1.2s): shorten the rule by 200ms or raise Budget.Total to 12.223s`},
		"default not valid": {"{\"default\":\n{\"farewell\": {\"code\": 1005}}, \"routes\": {\"/\": {}}}",
			"policy: drain.json:1: the rule for every route: close code 1005 may not be sent (RFC 6455 7.4.1); use 1000-1003, 1007-1014 or 3000-4999"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := read(tt.text)
			require.EqualError(t, err, tt.want)
			assert.Nil(t, f)
		})
	}
	_, err := policy.Read(iotest.ErrReader(errors.New("disk gone")), "drain.json")
	require.EqualError(t, err, "policy: reading drain.json: disk gone")
}

// Check names the line of a rule that doesn't fit a budget from elsewhere.
func TestCheckNamesTheLine(t *testing.T) {
	f, err := read("{\"routes\": {\n\"/a\": {\"spread\": \"30s\"}}}")
	require.NoError(t, err)
	m, err := f.Mux()
	require.NoError(t, err)
	require.NoError(t, policy.Check(m, policy.Budget{Total: 40 * sec}))
	require.ErrorContains(t, policy.Check(m, policy.Budget{}), `policy: drain.json:2: route "/a" needs 30s`)
}

func TestFileMuxRefuses(t *testing.T) {
	f := policy.File{Routes: map[string]policy.Rule{"/a/{x}": {}, "/{y}/b": {}, "/c": {Mercy: -1}}} // made by a program
	m, err := f.Mux()
	assert.Nil(t, m)
	require.EqualError(t, err, `policy: route "/{y}/b" conflicts with "/a/{x}": they match some of the same requests, and neither is the more specific; change one`+
		"\n"+`policy: route "/c": Mercy is -1ns; use zero or more`)
}
