package middleware_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// An endpoint for operators writes the report as JSON, where nobody should have to know that 2 is
// draining.
func TestReportAsJSON(t *testing.T) {
	report := middleware.Report{
		Phase:    middleware.Draining,
		Outcomes: stream.Outcomes{Told: 3},
		Ends:     []middleware.End{{Route: "GET /ws", Kind: policy.Infinite, Protocol: stream.WebSocket, Age: time.Second}},
	}
	text, err := json.Marshal(report)
	require.NoError(t, err)
	for _, want := range []string{`"Phase":"draining"`, `"Told":3`, `"Kind":"infinite","Protocol":"websocket"`} {
		assert.Contains(t, string(text), want)
	}
	var read middleware.Report
	require.NoError(t, json.Unmarshal(text, &read))
	assert.Equal(t, report, read)

	for p := middleware.Serving; p <= middleware.Done; p++ {
		text, err := p.MarshalText()
		require.NoError(t, err)
		var same middleware.Phase
		require.NoError(t, same.UnmarshalText(text))
		assert.Equal(t, p, same)
		assert.Equal(t, p.String(), string(text))
	}
	phase := middleware.Cutting
	require.EqualError(t, phase.UnmarshalText([]byte("over")),
		`middleware: phase "over" is unknown; use one of serving, announcing, draining, cancelling, cutting, done`)
	assert.Equal(t, middleware.Cutting, phase)
	_, err = middleware.Phase(99).MarshalText()
	require.EqualError(t, err, "middleware: phase 99 is unknown; use Serving to Done")
	assert.Equal(t, "Phase(99)", middleware.Phase(99).String())
}
