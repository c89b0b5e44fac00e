package policy_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

func TestExpand(t *testing.T) {
	assert.Equal(t, policy.Farewell{
		Code: 1012, Reason: "service restart; retry=1234", Event: "shutdown", Data: `{"retry":1234}`,
	}, policy.Farewell{}.Expand(1234567*time.Microsecond))

	own := policy.Farewell{Code: 4001, Reason: "r", Message: "in {retry}, I said {retry}", Event: "{retry}", Data: "a\n{retry}"}
	assert.Equal(t, policy.Farewell{Code: 4001, Reason: "r", Message: "in 0, I said 0", Event: "{retry}", Data: "a\n0"},
		own.Expand(0))
	assert.Equal(t, own.Expand(0), own.Expand(-time.Hour), "a client can't be asked to come back before now")
}

func TestCloseCodes(t *testing.T) {
	sendable := func(code int) bool {
		switch {
		case code == 0: // the default
			return true
		case code < 1000, code > 4999, 1016 <= code && code <= 2999:
			return false
		}
		return code != 1004 && code != 1005 && code != 1006 && code != 1015
	}
	for code := -1; code <= 5100; code++ {
		err := policy.Farewell{Code: code}.Validate()
		assert.Equal(t, sendable(code), err == nil, "code %d: %v", code, err)
	}
	assert.EqualError(t, policy.Farewell{Code: 2000}.Validate(),
		"policy: close code 2000 may not be sent (RFC 6455 7.4.2); use 1000-1003, 1007-1014 or 3000-4999")
}

func TestFarewellValidate(t *testing.T) {
	bad := "caf\xe9"
	for name, tt := range map[string]struct {
		farewell policy.Farewell
		want     []string
	}{
		"zero":                  {policy.Farewell{}, nil},
		"longest reason":        {policy.Farewell{Reason: strings.Repeat("é", 61) + "!"}, nil},
		"longest with a slot":   {policy.Farewell{Reason: strings.Repeat("x", 119) + "{retry}"}, nil}, // 5000
		"one too many":          {policy.Farewell{Reason: strings.Repeat("x", 124)}, []string{"can grow to 124 bytes, 123 is the most (RFC 6455 5.5); shorten it by 1"}},
		"one too many, slotted": {policy.Farewell{Reason: strings.Repeat("x", 120) + "{retry}"}, []string{"can grow to 124 bytes"}},
		"event CR":              {policy.Farewell{Event: "a\rb"}, []string{`event name "a\rb" has a line break or a NUL`}},
		"event LF":              {policy.Farewell{Event: "a\nb"}, []string{"line break"}},
		"event NUL":             {policy.Farewell{Event: "a\x00b"}, []string{"NUL"}},
		"data in lines":         {policy.Farewell{Data: "a\r\nb\n\nc"}, nil},
		"not UTF-8": {
			policy.Farewell{Reason: bad, Message: bad, Event: bad, Data: bad},
			[]string{`close reason "caf\xe9" is not`, `message "caf\xe9" is not`, `event name "caf\xe9" is not`, `data "caf\xe9" is not`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := tt.farewell.Validate()
			if tt.want == nil {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			lines := strings.Split(err.Error(), "\n")
			require.Len(t, lines, len(tt.want))
			for i, want := range tt.want {
				assert.Contains(t, lines[i], want)
				assert.Regexp(t, "^policy: ", lines[i])
			}
		})
	}
}

// A reason that fits with the default window may be too long with the rule's own.
func TestReasonLengthDependsOnTheWindow(t *testing.T) {
	r := policy.Rule{Farewell: policy.Farewell{Reason: strings.Repeat("x", 119) + "{retry}"}}
	require.NoError(t, r.Validate())
	r.Reconnect = policy.Window{Max: 10 * time.Second}
	require.ErrorContains(t, r.Validate(), "can grow to 124 bytes")
	r.Farewell.Reason = r.Farewell.Reason[1:]
	require.NoError(t, r.Validate())
	assert.Len(t, r.Farewell.Expand(r.Reconnect.Max).Reason, 123)
}
