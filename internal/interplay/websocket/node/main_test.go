package node

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// patience bounds what has to come.
const patience = 2 * time.Minute

// folder is where ws is installed.
var folder string

func TestMain(m *testing.M) {
	var err error
	if folder, err = Install(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(folder)
		os.Exit(code)
	}))
}

// A line is what client.mjs prints.
type line struct {
	Name  string `json:"name"`
	Row   int    `json:"row"`
	Seen  any    `json:"seen"`
	Last  string `json:"last"`
	Close *ending
}

// An ending is the close event of a WebSocket.
type ending struct {
	Code     int    `json:"code"`
	Reason   string `json:"reason"`
	WasClean bool   `json:"wasClean"`
}

// client runs client.mjs, and gives each line to use as it comes.
func client(t *testing.T, use func(line), args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", append([]string{"client.mjs", folder}, args...)...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Errorf("client.mjs printed %q: %v", lines.Text(), err)
			continue
		}
		use(l)
	}
	require.NoError(t, cmd.Wait())
}
