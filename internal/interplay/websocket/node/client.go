// Package node has the client of Node.js's most used WebSocket package, ws, talk to servers under
// lastcall: the same messages with bare servers and wrapped ones, and the end of a connection that
// is drained. What is no test is shared with the tests of package websocket.
//
// The tests need Node.js and npm on the PATH, and install a pinned version of ws in a temporary
// folder.
package node

import (
	_ "embed"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
)

//go:embed client.mjs
var script []byte

// A Client is client.mjs with an npm package ws of its own.
type Client struct{ folder string }

// Install installs a Client in a new temporary folder. Its caller calls Remove.
func Install() (*Client, error) {
	folder, err := harness.InstallNPM("ws@8.18.3")
	if err != nil {
		return nil, err
	}
	c := &Client{folder}
	if err := os.WriteFile(c.script(), script, 0o600); err != nil {
		_ = c.Remove()
		return nil, err
	}
	return c, nil
}

// Remove removes the folder.
func (c *Client) Remove() error { return os.RemoveAll(c.folder) }

func (c *Client) script() string { return filepath.Join(c.folder, "client.mjs") }

// A Result is a line that client.mjs prints. The page of package websocket reports the same.
type Result struct {
	Name  string              `json:"name"` // what was sent, for an echo
	Row   int                 `json:"row"`  // the index of the URL
	Seen  any                 `json:"seen"` // what came back, for an echo
	Last  string              `json:"last"` // how the last message starts
	Close *harness.CloseEvent `json:"close"`
}

// Run runs client.mjs with arguments, and calls use with each line as it comes.
func (c *Client) Run(t *testing.T, use func(Result), args ...string) {
	t.Helper()
	node := harness.StartNode(t, nil, append([]string{c.script()}, args...)...)
	for node.Lines.Scan() {
		var r Result
		if err := json.Unmarshal(node.Lines.Bytes(), &r); err != nil {
			t.Errorf("client.mjs printed %q: %v", node.Lines.Text(), err)
			continue
		}
		use(r)
	}
	node.Wait()
}
