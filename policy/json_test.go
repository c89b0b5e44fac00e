package policy_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

func TestMarshalRoundTrip(t *testing.T) {
	every := everyField()
	f := policy.File{
		Budget:  policy.Budget{Total: time.Hour, Announce: 1, Reserve: time.Minute},
		Default: policy.Rule{Timeout: policy.AtOnce},
		Routes:  map[string]policy.Rule{"/every": every, "/none": {}, "/alone": policy.LeaveAlone(), "/kind": {Kind: policy.Finite}},
	}
	text, err := json.MarshalIndent(f, "", "\t")
	require.NoError(t, err)
	back, err := read(string(text))
	require.NoError(t, err, "%s", text)
	assert.Equal(t, f.Budget, back.Budget)
	assert.Equal(t, f.Default, back.Default)
	assert.Equal(t, f.Routes, back.Routes)
	assert.NotContains(t, string(text), `"0s"`, "what is zero is left out")

	m, err := back.Mux()
	require.NoError(t, err)
	table, err := json.Marshal(m)
	require.NoError(t, err)
	again, err := read(string(table))
	require.NoError(t, err)
	assert.Equal(t, f.Routes, again.Routes)
	assert.Equal(t, f.Default, again.Default)
	assert.Zero(t, again.Budget)
}

// In a larger configuration the types are as strict as Read.
func TestUnmarshalParts(t *testing.T) {
	type own struct {
		Drain  policy.File     `json:"drain"`
		Rule   policy.Rule     `json:"rule"`
		Budget policy.Budget   `json:"budget"`
		Window policy.Window   `json:"window"`
		Bye    policy.Farewell `json:"bye"`
	}
	var c own
	require.NoError(t, json.Unmarshal([]byte(`{
		"drain": {"routes": {"/a": "let-finish"}}, "rule": "cut-at-once", "budget": {"total": "9s"},
		"window": {"max": "3s"}, "bye": {"code": 1001}
	}`), &c))
	assert.Equal(t, policy.LetFinish(), c.Drain.Routes["/a"])
	assert.Equal(t, policy.CutAtOnce(), c.Rule)
	assert.Equal(t, 9*sec, c.Budget.Total)
	assert.Equal(t, policy.Window{Max: 3 * sec}, c.Window)
	assert.Equal(t, 1001, c.Bye.Code)

	before := c
	for text, want := range map[string]string{
		`{"drain": {"route": {}}}`:        `policy: line 1: unknown field "route"`,
		`{"rule": {"spread": "1"}}`:       `policy: line 1: spread is "1"`,
		"{\"rule\": {\n\"use\": \"x\"}}":  `policy: line 2: no rule has the name "x"`,
		`{"rule": 1}`:                     "policy: line 1: the value is 1; write an object",
		`{"budget": {"max": "1s"}}`:       `policy: line 1: unknown field "max"; a budget has`,
		`{"window": {"total": "1s"}}`:     `policy: line 1: unknown field "total"; a window has`,
		`{"bye": {"code": 1.5, "x": {}}}`: `policy: line 1: code is 1.5; write a whole number`,
	} {
		require.ErrorContains(t, json.Unmarshal([]byte(text), &c), want)
		assert.Equal(t, before, c, "%s changed something", text)
	}
	require.NoError(t, json.Unmarshal([]byte(`{"drain": null, "rule": null, "budget": null, "window": null, "bye": null}`), &c))
	assert.Equal(t, before, c)
	require.NoError(t, json.Unmarshal([]byte(`{"budget": {"announce": "1s"}}`), &c))
	assert.Equal(t, policy.Budget{Total: 9 * sec, Announce: sec}, c.Budget, "what isn't mentioned stays")
}

func TestMarshalRefuses(t *testing.T) {
	_, err := json.Marshal(policy.Rule{Farewell: policy.Farewell{Message: "\xff", Binary: true}})
	require.ErrorContains(t, err, `policy: "\xff" is not UTF-8 and can't be written as JSON`)
	_, err = json.Marshal(policy.File{Default: policy.Rule{Kind: 9}})
	require.ErrorContains(t, err, "policy: kind 9 is unknown")
}
