package harness

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// InstallNPM installs npm packages, such as "ws@8.18.3", in a new temporary folder. Its caller
// removes the folder.
func InstallNPM(packages ...string) (folder string, err error) {
	if folder, err = os.MkdirTemp("", "node"); err != nil {
		return "", err
	}
	npm := exec.Command("npm", append([]string{"install", "--prefix", folder, "--no-save", "--no-package-lock",
		"--no-audit", "--no-fund", "--loglevel=error"}, packages...)...)
	if output, err := npm.CombinedOutput(); err != nil {
		_ = os.RemoveAll(folder)
		return "", fmt.Errorf("these tests need Node.js and npm, and this failed: %v: %w\n%s", npm, err, output)
	}
	return folder, nil
}

// A Node is a Node.js process. Its standard input stays open until Wait.
type Node struct {
	Lines *bufio.Scanner // of its standard output
	wait  func()
}

// StartNode starts Node.js with more environment variables than this process has. The process is
// waited for when the test ends, if not before.
func StartNode(tb testing.TB, env []string, args ...string) *Node {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(tb, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(tb, err)
	require.NoError(tb, cmd.Start())
	n := &Node{Lines: bufio.NewScanner(stdout)}
	n.wait = sync.OnceFunc(func() {
		defer cancel()
		_ = stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		assert.NoError(tb, cmd.Wait())
	})
	tb.Cleanup(n.wait)
	return n
}

// Wait closes the standard input of the process and waits for its end, which has to be a success.
func (n *Node) Wait() { n.wait() }
