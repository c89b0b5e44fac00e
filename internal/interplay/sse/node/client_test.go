// Package node has Node.js's npm package eventsource, in the versions that are in use, follow an
// event stream through a drain and a restart. It holds tests only. They need Node.js and npm on the
// PATH, and install pinned versions of the package in a temporary folder.
package node

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
)

// An event is what client.mjs prints of an event of an EventSource.
type event struct {
	Source     string  `json:"source"` // "stream" or "probe"
	Type       string  `json:"type"`
	Data       string  `json:"data"`
	ReadyState int     `json:"readyState"`
	At         float64 `json:"at"` // milliseconds
}

// A client is a running client.mjs.
type client struct {
	t    *testing.T
	node *harness.Node
	seen []event // those of "stream", without its messages
}

// startClient runs client.mjs until the test ends.
func startClient(t *testing.T, args ...string) *client {
	t.Helper()
	env := []string{"NODE_EXTRA_CA_CERTS=" + certificateFile()}
	return &client{t: t, node: harness.StartNode(t, env, append([]string{"client.mjs", folder}, args...)...)}
}

// next returns the next event of a source that has one of these types.
func (c *client) next(source string, types ...string) event {
	c.t.Helper()
	for c.node.Lines.Scan() {
		var e event
		require.NoError(c.t, json.Unmarshal(c.node.Lines.Bytes(), &e), c.node.Lines.Text())
		if e.Source == "stream" && e.Type != "message" {
			c.seen = append(c.seen, e)
		}
		if e.Source == source && slices.Contains(types, e.Type) {
			return e
		}
	}
	require.FailNow(c.t, "the client ended before the event", "%s %v: %v", source, types, c.node.Lines.Err())
	return event{}
}
