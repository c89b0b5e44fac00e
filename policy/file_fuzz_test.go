package policy_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

// FuzzRead reads any text: Read must not panic, name only lines that exist, agree with a plain
// decoding by encoding/json, and read what json.Marshal writes of its result as the same.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		goodFile, "", "null", "{}", `{"routes": {"/a/{x}": {}, "/{y}/b": "let-finish", "GET /{$}": {"use": "leave-alone", "grace": "1h"}}}`,
		`{"routes": {"": {}, "/a": {}, "/a": {}, "h/{x...}": "cut-at-once"}, "default": {"farewell": {"data": "\ud800<>&\u2028"}}}`,
		`{"budget": {"total": "1m", "reserve": "0"}, "default": {"grace": "-0.5ms", "reconnect": {"min": "3us"}}}`,
		`{"default": {"grace": "at once", "kind": "infinite", "farewell": {"code": 3000, "binary": true, "message": "x"}}}`,
		`{"default": {"ending": "broken", "admit": true, "farewell": {"send": "nothing"}}, "routes": {"/a": {"use": "tell-stay-away", "format": "none", "ending": "clean", "farewell": {"send": "retry"}}}}`,
		`{"budget": {}, "routes": {"/a": {"spread": "1m", "priority": 1}}}`,
		"{\n\"routes\": [{}, [[]], \"}\"],\n\"x\": {\"y\": [1, {}]}}",
	} {
		f.Add([]byte(seed))
	}
	place := regexp.MustCompile(`^policy: f:(\d+): `)
	f.Fuzz(func(t *testing.T, text []byte) {
		read, err := policy.Read(bytes.NewReader(text), "f")
		if err != nil {
			for _, line := range strings.Split(err.Error(), "\npolicy: ") {
				m := place.FindStringSubmatch("policy: " + strings.TrimPrefix(line, "policy: "))
				require.NotNil(t, m, "%q has no place", line)
				n, err := time.ParseDuration(m[1] + "ns")
				require.NoError(t, err)
				require.LessOrEqual(t, int(n), 1+bytes.Count(text, []byte("\n")))
			}
			return
		}
		checkAgainstPlainJSON(t, text, read)

		m, err := read.Mux()
		require.NoError(t, err)
		require.NotEmpty(t, policy.Explain(m).String())
		require.NoError(t, read.Default.Validate())

		written, err := json.Marshal(read)
		require.NoError(t, err)
		again, err := policy.Read(bytes.NewReader(written), "f")
		require.NoError(t, err, "%s", written)
		require.Equal(t, read.Budget, again.Budget)
		require.Equal(t, read.Default, again.Default)
		require.Equal(t, len(read.Routes), len(again.Routes))
		for pattern, r := range read.Routes {
			require.Equal(t, r, again.Routes[pattern])
		}
	})
}

// checkAgainstPlainJSON decodes text with encoding/json alone and compares.
func checkAgainstPlainJSON(t *testing.T, text []byte, read *policy.File) {
	t.Helper()
	type rule struct {
		Use, Kind, Grace, Spread, Timeout, Mercy, Format, Ending string
		Admit                                                    bool
		Reconnect                                                struct{ Min, Max string }
		Farewell                                                 policyFarewell
	}
	var plain struct {
		Budget  struct{ Total, Announce, Reserve string }
		Default json.RawMessage
		Routes  map[string]json.RawMessage
	}
	require.NoError(t, json.Unmarshal(text, &plain))
	checkTime := func(written string, d time.Duration) {
		t.Helper()
		switch written {
		case "":
			return // not in the file, or from a named rule
		case "at once":
			require.Equal(t, policy.AtOnce, d)
		case "to the end":
			require.Equal(t, policy.ToTheEnd, d)
		default:
			want, err := time.ParseDuration(written)
			require.NoError(t, err)
			if want != 0 {
				require.Equal(t, want, d)
			}
		}
	}
	checkRule := func(text json.RawMessage, r policy.Rule) {
		t.Helper()
		var word string
		if len(text) == 0 || json.Unmarshal(text, &word) == nil {
			require.Equal(t, named[word], r) // the zero rule where there is none
			return
		}
		var p rule
		require.NoError(t, json.Unmarshal(text, &p))
		checkTime(p.Grace, r.Grace)
		checkTime(p.Spread, r.Spread)
		checkTime(p.Timeout, r.Timeout)
		checkTime(p.Mercy, r.Mercy)
		if r.Reconnect != (policy.Window{}) {
			checkTime(p.Reconnect.Min, r.Reconnect.Min)
			checkTime(p.Reconnect.Max, r.Reconnect.Max)
		}
		if p.Kind != "" && p.Kind != "auto" {
			require.Equal(t, p.Kind, r.Kind.String())
		}
		if p.Format != "" && p.Format != "auto" {
			require.Equal(t, p.Format, r.Format.String())
		}
		if p.Ending != "" && p.Ending != "auto" {
			require.Equal(t, p.Ending, r.Ending.String())
		}
		require.Equal(t, p.Admit, r.Admit, "no named rule admits")
		if p.Use == "" {
			require.Equal(t, policy.Farewell(p.Farewell), r.Farewell)
		}
	}
	checkTime(plain.Budget.Total, read.Budget.Total)
	checkTime(plain.Budget.Announce, read.Budget.Announce)
	checkTime(plain.Budget.Reserve, read.Budget.Reserve)
	checkRule(plain.Default, read.Default)
	require.Equal(t, len(plain.Routes), len(read.Routes))
	for pattern, text := range plain.Routes {
		checkRule(text, read.Routes[pattern])
	}
}

// policyFarewell is a Farewell without its methods.
type policyFarewell policy.Farewell
