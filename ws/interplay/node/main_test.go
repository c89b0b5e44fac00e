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

// wsVersion is the version of the npm package ws that is talked to.
const wsVersion = "8.18.3"

// patience bounds what has to come.
const patience = 2 * time.Minute

// folder is where ws is installed.
var folder string

func TestMain(m *testing.M) {
	err := install()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(folder)
		os.Exit(code)
	}))
}

func install() (err error) {
	if folder, err = os.MkdirTemp("", "node"); err != nil {
		return err
	}
	npm := exec.Command("npm", "install", "--prefix", folder, "--no-save", "--no-package-lock", "--no-audit", "--no-fund",
		"--loglevel=error", "ws@"+wsVersion)
	if said, err := npm.CombinedOutput(); err != nil {
		_ = os.RemoveAll(folder)
		return fmt.Errorf("node: these tests need Node.js and npm, and this failed: %v: %w\n%s", npm, err, said)
	}
	return nil
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
