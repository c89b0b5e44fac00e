package mcp

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var messages = []string{
	`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x","arguments":{"id":8,"method":"no"}}}`,
	`{"method":"tools/call","params":{"_meta":{"id":[1]}},"jsonrpc":"2.0","id":"a\"b"}`,
	`{"jsonrpc":"2.0","id":7,"result":{"id":9,"method":"x"}}`,
	`{"jsonrpc":"2.0","id":-1.50e1,"error":{"code":-32000,"message":"}{"}}`,
	`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":12,"reason":"\\"}}`,
	`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"inputResponses":{"q":{}}}}`,
	` [ {"id":1,"method":"a"} , {"method":"b"}, 5, {"id":2,"result":null}, [{"id":3,"method":"c"}] ] `,
	`{"id":null,"method":"x","\u0069d":4,"id":{"id":5}}`,
	`{"id":1,"id":2,"method":"a","method":"b"}`,
	`{}`, `[]`, `"x"`, `17`, `{0[[ 0`, `{"id":"\u007bretry}","method":"subscriptions/listen"}`,
}

func TestMessages(t *testing.T) {
	for _, tt := range []struct {
		json string
		want message
	}{
		{messages[0], message{method: "tools/call", id: "7"}},
		{messages[1], message{method: "tools/call", id: `"a\"b"`}},
		{messages[2], message{id: "7"}},
		{messages[3], message{id: "-1.50e1"}},
		{messages[4], message{method: "notifications/cancelled", cancels: "12"}},
		{messages[5], message{method: "tools/call", id: "1", resumes: true}},
		{messages[8], message{method: "b", id: "2"}},
		{`[{},{"params":{}},{"id":1,"method":"a"},{}]`, message{method: "a", id: "1"}}, // nothing is kept of the others
	} {
		var s scanner
		_, _ = s.Write([]byte(tt.json))
		require.Equal(t, []message{tt.want}, s.found, tt.json)
		require.True(t, s.ended)
	}
}

func TestCanonicalID(t *testing.T) {
	require.Equal(t, canonicalID("-15"), canonicalID("-1.50e1"))
	require.Equal(t, canonicalID("0"), canonicalID("-0"))
	require.Equal(t, canonicalID(`"a"`), canonicalID(`"\u0061"`))
	require.NotEqual(t, canonicalID(`"15"`), canonicalID("15"))
}

// TestSubscriptionResult looks for what a drain would replace in the id.
func TestSubscriptionResult(t *testing.T) {
	result := subscriptionResult(`"{retry}"`)
	require.NotContains(t, result, "{retry}")
	var decoded struct {
		ID     string
		Result struct {
			Meta map[string]string `json:"_meta"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(result), &decoded))
	require.Equal(t, "{retry}", decoded.ID)
	require.Equal(t, "{retry}", decoded.Result.Meta["io.modelcontextprotocol/subscriptionId"])
}

// FuzzMessages compares what the scanner finds with what package encoding/json does, however the
// bytes come.
func FuzzMessages(f *testing.F) {
	for _, m := range messages {
		f.Add([]byte(m), uint8(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, cut uint8) {
		var s scanner
		for rest := data; len(rest) > 0; {
			n := min(len(rest), int(cut)+1)
			_, _ = s.Write(rest[:n])
			rest = rest[n:]
		}
		if !json.Valid(data) || bytes.ContainsRune(data, '\uFFFD') || len(data) > maxToken {
			return // it must only not panic
		}
		want := decode(data)
		require.Equal(t, len(want), len(s.found), "%q", data)
		for i, m := range s.found {
			require.Equal(t, want[i], m, "%q", data)
		}
	})
}

// decode finds what the scanner has to find.
func decode(data []byte) (found []message) {
	var batch []json.RawMessage
	if json.Unmarshal(data, &batch) != nil {
		batch = []json.RawMessage{data}
	}
	for _, one := range batch {
		var members map[string]json.RawMessage
		if json.Unmarshal(one, &members) != nil || members == nil {
			continue
		}
		m := message{id: scalar(members["id"]), method: unquote(string(members["method"]))}
		var params map[string]json.RawMessage
		if json.Unmarshal(members["params"], &params) == nil {
			m.cancels = scalar(params["requestId"])
			_, m.resumes = params["inputResponses"]
		}
		if m.method != "" || m.id != "" {
			found = append(found, m)
		}
	}
	return found
}

// scalar returns a string or a number as it stands.
func scalar(raw json.RawMessage) string {
	s := strings.TrimSpace(string(raw))
	if s == "" || strings.ContainsAny(s[:1], "{[tfn") {
		return ""
	}
	return s
}
