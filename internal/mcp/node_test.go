package mcp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	lastcall "github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream/mcp"
)

// A nodeRound is a round whose client is an application of client.mjs.
type nodeRound struct {
	Seed      uint64     `json:"seed"`
	Transport string     `json:"transport"`
	Old       string     `json:"old"`
	Next      string     `json:"next"`
	Control   string     `json:"control"`
	Sticky    bool       `json:"sticky"`
	Stop      int        `json:"stop"` // ms
	Early     []nodeCall `json:"early"`
	Late      []nodeCall `json:"late"`

	site      *site
	old, next *nodeServer
}

type nodeCall struct {
	task
	At int `json:"at"` // ms; of a late one, after the stop
}

// nodeSeen is what an application saw.
type nodeSeen struct {
	Seed  uint64
	Calls []struct {
		nodeCall
		Got, Error string
		Tries      int
	}
	Streams []struct {
		Client              int
		Method, Server, End string
		Status, Refusals    int
		At, EndAt           float64 // ms
		Retry               float64 // ms
		Waits               float64 // ms, which its client chose after its end
		Shutdown            bool
	}
	Lost    int     // requests whose connection broke off
	Stopped float64 // ms
}

type nodeServer struct {
	drainer *lastcall.Drainer
	address string
	stop    context.CancelFunc
	done    chan struct{}
	err     error
	close   func()
}

func newNodeServer(t *testing.T, make func(*site) (http.Handler, func()), s *site) *nodeServer {
	h, done := make(s)
	calls := &mcp.Calls{Policy: policy.Rule{Reconnect: policy.Window{Min: 100 * time.Millisecond, Max: 400 * time.Millisecond}}}
	ctx, stop := context.WithCancel(context.Background())
	server := &nodeServer{drainer: &lastcall.Drainer{Policy: calls}, stop: stop, done: closedLater(), close: done}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server.address = "http://" + listener.Addr().String()
	srv := &http.Server{Handler: lastcall.Graceful(server.drainer)(calls.Handler(h))}
	go func() {
		defer close(server.done)
		server.err = server.drainer.Run(ctx, srv, func() error { return srv.Serve(listener) })
	}()
	return server
}

func newNodeRound(t *testing.T, seed uint64, c nodeCell, control string) *nodeRound {
	rng := rand.New(rand.NewPCG(seed, 14))
	r := &nodeRound{
		Seed: seed, Transport: c.transport, Control: control, Sticky: rng.IntN(2) == 0, Stop: 200 + rng.IntN(600),
		site: &site{rng: rng, produced: map[string]int{}},
	}
	for i := range 1 + rng.IntN(4) {
		k := task{Token: fmt.Sprint("early", i), MS: rng.IntN(1500), Ask: c.asks && r.Sticky && rng.IntN(2) == 0}
		r.Early = append(r.Early, nodeCall{k, rng.IntN(r.Stop) / 2})
	}
	for i := range 1 + rng.IntN(2) {
		r.Late = append(r.Late, nodeCall{task{Token: fmt.Sprint("late", i), MS: rng.IntN(100)}, 50 + rng.IntN(800)})
	}
	r.old, r.next = newNodeServer(t, c.serve, r.site), newNodeServer(t, c.serve, r.site)
	r.Old, r.Next = r.old.address, r.next.address
	return r
}

type nodeCell struct {
	name, transport string
	serve           func(*site) (http.Handler, func())
	asks            bool
}

var nodeCells = []nodeCell{
	{"go-sdk 2025-11-25", "streamable", goSDKStreamable, true},
	{"go-sdk HTTP+SSE", "sse", goSDKSSE, true},
	{"mcp-go 2025-11-25", "streamable", mcpGoStreamable, true},
	{"mcp-go HTTP+SSE", "sse", mcpGoSSE, false},
}

// atOnce is how many rounds of a cell run at once, in one process of Node.js.
const atOnce = 30

// TestTypeScript drains servers of the Go libraries under the official TypeScript SDK in Node.js.
func TestTypeScript(t *testing.T) {
	folder := installed(t)
	for _, c := range nodeCells {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, folder, *firstSeed, *nodeRounds)
		})
	}
}

// installed returns a folder with the npm package and the script. Where LASTCALL_NPM names a
// folder, it is one below that, which the next run of this test finds.
func installed(t *testing.T) string {
	lock, err := os.ReadFile("node/package-lock.json")
	require.NoError(t, err)
	script, err := os.ReadFile("node/client.mjs")
	require.NoError(t, err)
	folder := t.TempDir()
	if shared := os.Getenv("LASTCALL_NPM"); shared != "" {
		folder = filepath.Join(shared, fmt.Sprintf("mcp-%x", sha256.Sum256(append(lock, script...)))[:20])
	}
	if _, err := os.Stat(filepath.Join(folder, "node_modules", ".package-lock.json")); err == nil { // npm writes it last
		return folder
	}
	require.NoError(t, os.RemoveAll(folder))
	require.NoError(t, os.CopyFS(folder, os.DirFS("node")))
	npm := exec.Command("npm", "ci", "--prefix", folder, "--no-audit", "--no-fund", "--loglevel=error")
	output, err := npm.CombinedOutput()
	require.NoError(t, err, "these tests need Node.js and npm: %s", output)
	return folder
}

func (c nodeCell) run(t *testing.T, folder string, seed uint64, n int) {
	byNumber := map[string]*nodeRound{}
	var mu sync.Mutex
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts := strings.Split(r.URL.Path, "/")
		mu.Lock()
		round := byNumber[parts[2]]
		mu.Unlock()
		round.old.stop()
		if parts[1] == "wait" {
			<-round.old.done
		} else {
			<-round.old.drainer.Draining()
		}
	}))
	defer control.Close()
	var all []*nodeRound
	for i := range n {
		r := newNodeRound(t, seed+uint64(i), c, control.URL)
		all = append(all, r)
		mu.Lock()
		byNumber[strconv.FormatUint(r.Seed, 10)] = r
		mu.Unlock()
	}
	defer func() {
		for _, r := range all {
			for _, server := range []*nodeServer{r.old, r.next} {
				server.stop()
				server.close()
				_ = server.drainer.Close()
				<-server.done
				server.close()
			}
		}
	}()
	input, err := json.Marshal(all)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	node := exec.CommandContext(ctx, "node", filepath.Join(folder, "client.mjs"), strconv.Itoa(atOnce))
	node.Stdin, node.Stderr = bytes.NewReader(input), os.Stderr
	output, err := node.Output()
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(output)), "\n")
	require.Len(t, lines, n)
	var after []float64
	for _, line := range lines {
		var seen nodeSeen
		require.NoError(t, json.Unmarshal([]byte(line), &seen), line)
		t.Run(fmt.Sprintf("seed=%d", seen.Seed), func(t *testing.T) {
			r := byNumber[strconv.FormatUint(seen.Seed, 10)]
			after = append(after, r.judge(t, &seen)...)
		})
	}
	if slices.Sort(after); len(after) > 0 {
		t.Logf("%s: %d were told, and back this long after their slot: %.1f ms (first), %.1f ms (median), %.1f ms (last)",
			c.name, len(after), after[0], after[len(after)/2], after[len(after)-1])
	}
}

// judge compares what the application saw with what the servers say. It returns how many
// milliseconds after its slot the client was back.
func (r *nodeRound) judge(t *testing.T, seen *nodeSeen) (after []float64) {
	require.NoError(t, r.old.err)
	for _, call := range seen.Calls {
		require.Empty(t, call.Error, "%+v; sticky: %v", call, r.Sticky)
		require.Equal(t, call.result(), call.Got)
		require.Equal(t, 1, r.site.results(call.Token), "results of %+v: more than one means that one was lost", call)
	}
	refused, told := 0, 0
	for i, s := range seen.Streams {
		refused += s.Refusals
		require.False(t, s.Shutdown, "an event that is none of the protocol's")
		if s.Server == "next" {
			continue
		}
		require.NotContains(t, s.End, "broken", "%+v", s)
		switch {
		case s.Status == http.StatusServiceUnavailable:
			refused++
		case s.Method == "GET" && s.Retry > 0:
			told++
			if s.Client == 0 { // others may not have been connected yet
				after = append(after, seen.comesBack(t, i))
			}
		}
	}
	report := r.old.drainer.Report()
	require.Zero(t, report.Cut+report.Canceled+report.Broken, "%+v", report)
	// A stream that is refused looks like one that is told. A refusal may be lost with its
	// connection, which net/http may close as idle while the request comes.
	saw, reported := uint64(refused+told), report.Refused+report.Told
	require.LessOrEqual(t, saw, reported, "refused or told, as the client saw it and as reported")
	require.LessOrEqual(t, reported, saw+uint64(seen.Lost), "refused or told, as reported and as the client saw it")
	return after
}

// comesBack returns how many milliseconds after its slot the client of a standing stream was back.
// How long it chose to wait is what counts: its process and the machine are busy with other rounds.
func (seen *nodeSeen) comesBack(t *testing.T, i int) (after float64) {
	told := seen.Streams[i]
	require.Equal(t, told.Retry, told.Waits, "the time that the client waits: %+v", told)
	for _, s := range seen.Streams[i+1:] {
		if s.Client == told.Client && s.Method == "GET" {
			require.Equal(t, "next", s.Server)
			after = s.At - told.EndAt - told.Retry
			require.Greater(t, after, -5.0, "before its slot; their clocks may differ a little")
			return after
		}
	}
	require.Fail(t, "who was told to come back did not", "%+v", told)
	return 0
}
