package rig

import (
	"bufio"
	"crypto/sha256"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

//go:embed node
var scripts embed.FS

// folder is where Install has put the scripts and the npm packages.
var folder string

var isShared bool // folder outlives this process

// Install installs the npm packages in a temporary folder, which Remove removes, or where
// LASTCALL_NPM names a folder, in one below it that other tests with the same packages and scripts
// share.
func Install() (err error) {
	node, err := fs.Sub(scripts, "node")
	if err != nil {
		return err
	}
	shared := os.Getenv("LASTCALL_NPM")
	if folder, err = os.MkdirTemp(shared, "apis"); err != nil {
		return err
	}
	kept := filepath.Join(shared, sum(node))
	if _, err := os.Stat(kept); shared != "" && err == nil {
		Remove()
		folder, isShared = kept, true
		return nil
	}
	if err = os.CopyFS(folder, node); err != nil {
		return err
	}
	npm := exec.Command("npm", "ci", "--prefix", folder, "--no-audit", "--no-fund", "--loglevel=error")
	if output, err := npm.CombinedOutput(); err != nil {
		return fmt.Errorf("these tests need Node.js and npm, and this failed: %v: %w\n%s", npm, err, output)
	}
	if shared != "" && os.Rename(folder, kept) == nil { // else another test was first, and this one has its own
		folder, isShared = kept, true
	}
	return nil
}

// sum returns what tells these packages and scripts from others.
func sum(node fs.FS) string {
	h := sha256.New()
	_ = fs.WalkDir(node, ".", func(name string, _ fs.DirEntry, _ error) error {
		text, _ := fs.ReadFile(node, name)
		_, _ = fmt.Fprintf(h, "%s %d\n%s", name, len(text), text)
		return nil
	})
	return fmt.Sprintf("apis-%x", h.Sum(nil)[:8])
}

// Remove removes what Install has installed, unless others share it.
func Remove() {
	if !isShared {
		_ = os.RemoveAll(folder)
	}
}

// A Command begins what an npm package does, or stops it: see node/clients.mjs.
type Command struct {
	ID       int    `json:"id"`
	Client   string `json:"client,omitempty"`
	URL      string `json:"url,omitempty"`
	Question string `json:"question,omitempty"`
	HTTP2    bool   `json:"h2,omitempty"` // if the package can't, by other means of Node.js
	Stop     bool   `json:"stop,omitempty"`
}

// An Event is what an npm package says. One of the fields is set, beside At.
type Event struct {
	ID       int      `json:"id"`
	Value    string   `json:"value"`
	Answer   *string  `json:"answer"`
	Told     string   `json:"told"`
	Calls    float64  `json:"calls"` // it calls its server, at this time, as At
	Waits    *float64 `json:"waits"` // it begins to wait for so many milliseconds, and then calls again
	At       float64  `json:"at"`    // when it begins to wait, in milliseconds since 1970
	Refused  bool     `json:"refused"`
	Error    string   `json:"error"`
	Complete bool     `json:"complete"`
}

// A Node is a Node.js process with the npm packages. Its methods may be called concurrently.
type Node struct {
	mu     sync.Mutex // guards following
	stdin  io.WriteCloser
	events map[int]chan Event
}

// Start starts a Node, which ends with the test.
func Start(tb testing.TB) *Node {
	tb.Helper()
	cmd := exec.Command("node", filepath.Join(folder, "clients.mjs"))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(tb, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(tb, err)
	require.NoError(tb, cmd.Start())
	n := &Node{stdin: stdin, events: map[int]chan Event{}}
	read := make(chan struct{})
	lines := bufio.NewScanner(stdout)
	require.True(tb, lines.Scan(), "Node.js has ended")
	go func() {
		defer close(read)
		for lines.Scan() {
			var e Event
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				fmt.Fprintln(os.Stderr, lines.Text())
				continue
			}
			n.mu.Lock()
			events := n.events[e.ID]
			n.mu.Unlock()
			select {
			case events <- e:
			default: // nobody waits for it any more
			}
		}
	}()
	tb.Cleanup(func() {
		_ = stdin.Close()
		<-read
		_ = cmd.Wait()
	})
	return n
}

// Begin begins what the command says, and returns what comes of it. The channel has room for all
// that a round can bring.
func (n *Node) Begin(tb testing.TB, c Command) (id int, events <-chan Event) {
	tb.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	c.ID = len(n.events) + 1
	made := make(chan Event, 10_000)
	n.events[c.ID] = made
	require.NoError(tb, json.NewEncoder(n.stdin).Encode(c))
	return c.ID, made
}

// Stop stops what Begin began.
func (n *Node) Stop(tb testing.TB, id int) {
	tb.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	require.NoError(tb, json.NewEncoder(n.stdin).Encode(Command{ID: id, Stop: true}))
}
