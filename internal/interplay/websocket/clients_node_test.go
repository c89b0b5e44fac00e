package websocket

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/websocket/node"
)

// nodes are clients of the npm package ws, in one process.
func nodes(t *testing.T) clientele {
	folder, err := node.Install()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(folder)) })
	return func(t *testing.T, urls []string, use func(verdict)) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, "node", append([]string{"node/client.mjs", folder, "drain"}, urls...)...)
		cmd.Stderr = os.Stderr
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			var c verdict
			if assert.NoError(t, json.Unmarshal(lines.Bytes(), &c), lines.Text()) && c.Close != nil {
				use(c)
			}
		}
		assert.NoError(t, cmd.Wait())
	}
}
