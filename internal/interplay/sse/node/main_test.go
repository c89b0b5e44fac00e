package node

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// packages are the versions of eventsource that are followed with: one that is made of fetch, and the last one before
// that, which is still what most programs have.
var packages = []string{"eventsource-4@npm:eventsource@4.1.0", "eventsource-2@npm:eventsource@2.0.2"}

// patience bounds what has to come.
const patience = time.Minute

// folder is where the packages are installed.
var folder string

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // the clients mostly wait for their slots
	var err error
	if folder, err = os.MkdirTemp("", "node"); err == nil {
		err = errors.Join(install(), trust())
	}
	if err != nil {
		_ = os.RemoveAll(folder)
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(folder)
		os.Exit(code)
	}))
}

func install() error {
	npm := exec.Command("npm", append([]string{"install", "--prefix", folder, "--no-save", "--no-package-lock", "--no-audit",
		"--no-fund", "--loglevel=error"}, packages...)...)
	if said, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("node: these tests need Node.js and npm, and this failed: %v: %w\n%s", npm, err, said)
	}
	return nil
}

// trust writes down our certificate, which speaks for itself, for Node to trust.
func trust() error {
	block := &pem.Block{Type: "CERTIFICATE", Bytes: certificate().Certificate[0]}
	return os.WriteFile(authority(), pem.EncodeToMemory(block), 0o600)
}

func authority() string { return filepath.Join(folder, "authority.pem") }

// EventSource.readyState, WHATWG HTML 9.2.2. From closed there is no way back.
const (
	connecting = 0
	opened     = 1
	closed     = 2
)

// A line is what client.mjs prints of an event.
type line struct {
	Source     string  `json:"source"`
	Type       string  `json:"type"`
	Data       string  `json:"data"`
	ReadyState int     `json:"readyState"`
	At         float64 `json:"at"` // ms
}

// A client is a client.mjs that runs.
type client struct {
	t    *testing.T
	out  *bufio.Scanner
	seen []line // of the stream, but for its messages
}

// start runs client.mjs, which ends when the test does.
func start(t *testing.T, args ...string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	cmd := exec.CommandContext(ctx, "node", append([]string{"client.mjs", folder}, args...)...)
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+authority())
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		defer cancel()
		_ = stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		assert.NoError(t, cmd.Wait())
	})
	return &client{t: t, out: bufio.NewScanner(stdout)}
}

// next gives the next event that is one of these types, of a source.
func (c *client) next(source string, types ...string) line {
	c.t.Helper()
	for c.out.Scan() {
		var l line
		require.NoError(c.t, json.Unmarshal(c.out.Bytes(), &l), c.out.Text())
		if l.Source == "stream" && l.Type != "message" {
			c.seen = append(c.seen, l)
		}
		if l.Source != source {
			continue
		}
		for _, t := range types {
			if l.Type == t {
				return l
			}
		}
	}
	require.FailNow(c.t, "the client ended before what was to come", "%s %v: %v", source, types, c.out.Err())
	return line{}
}
