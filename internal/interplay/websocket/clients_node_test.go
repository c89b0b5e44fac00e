package websocket

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/websocket/node"
)

// nodeClients returns clients of the npm package ws, all in one process.
func nodeClients(t *testing.T) clients {
	client, err := node.Install()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, client.Remove()) })
	return func(t *testing.T, urls []string, use func(node.Result)) {
		client.Run(t, func(r node.Result) {
			if r.Close != nil {
				use(r)
			}
		}, append([]string{"drain"}, urls...)...)
	}
}
