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
		Outcomes: middleware.Outcomes{Told: 3},
		Aborted:  []middleware.Aborted{{Route: "GET /ws", Kind: policy.Infinite, Format: stream.WebSocket, Age: time.Second}},
	}
	text, err := json.Marshal(report)
	require.NoError(t, err)
	for _, want := range []string{`"Phase":"draining"`, `"Told":3`, `"Kind":"infinite","Format":"websocket"`} {
		assert.Contains(t, string(text), want)
	}
	var read middleware.Report
	require.NoError(t, json.Unmarshal(text, &read))
	assert.Equal(t, report, read)
}
