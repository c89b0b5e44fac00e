package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	childLimit = 30 * time.Second
	// exitWithin is how long after its last client's end the process must be gone. Seen with the
	// race detector: 5 to 15 ms.
	exitWithin = 100 * time.Millisecond
	// exitSlack is what is given to ends that begin with a signal, whose way to the process is part
	// of it.
	exitSlack = time.Second
)

// A child is the command in a process of its own.
type child struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  bytes.Buffer  // its stdout; readable once it has ended
	over chan struct{} // closed when it has ended
	gone time.Time     // when it ended; readable once over is closed

	mu    sync.Mutex // guards err
	err   []string   // lines on its stderr
	wakes chan struct{}
}

func start(t *testing.T, args ...string) *child {
	c := &child{
		t: t, cmd: exec.CommandContext(t.Context(), os.Args[0], args...),
		over: make(chan struct{}), wakes: make(chan struct{}, 1),
	}
	c.cmd.Env = append(os.Environ(), asChild+"=1", "GORACE=atexit_sleep_ms=0") // or the race detector sleeps for 1 s
	c.cmd.Stdout = &c.out
	stderr, err := c.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	go func() {
		defer close(c.over)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			c.mu.Lock()
			c.err = append(c.err, lines.Text())
			c.mu.Unlock()
			select {
			case c.wakes <- struct{}{}:
			default:
			}
		}
		_ = c.cmd.Wait() // its status is looked at later
		c.gone = time.Now()
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.over
		if t.Failed() {
			t.Logf("stderr of %v:\n%s", args, strings.Join(c.lines(), "\n"))
		}
	})
	return c
}

func (c *child) lines() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string{}, c.err...)
}

// await waits for a line on stderr that matches, and returns the pattern's last group, or the
// match.
func (c *child) await(pattern string) string {
	re := regexp.MustCompile(pattern)
	limit := time.NewTimer(childLimit)
	defer limit.Stop()
	for {
		for _, line := range c.lines() {
			if m := re.FindStringSubmatch(line); m != nil {
				return m[len(m)-1]
			}
		}
		select {
		case <-c.wakes:
		case <-c.over:
			require.Fail(c.t, "it ended without "+pattern)
		case <-limit.C:
			require.Fail(c.t, "no "+pattern)
		}
	}
}

func (c *child) url() string { return "http://" + c.await(`msg=listening addr=(\S+)`) }

func (c *child) signal(s os.Signal) { require.NoError(c.t, c.cmd.Process.Signal(s)) }

// notices are the lines for people before the last one, which says how it went.
var notices = []*regexp.Regexp{
	regexp.MustCompile(`^open http://\S+:\d+, then press Ctrl-C$`),
	regexp.MustCompile(`^stopping; press Ctrl-C again to (cut what is still open|kill the process)$`),
}

// end waits for the end and returns the exit status and what the last line for people says. Before
// it only the notices may come, in their order.
func (c *child) end() (status int, said string) {
	limit := time.NewTimer(childLimit)
	defer limit.Stop()
	select {
	case <-c.over:
	case <-limit.C:
		require.Fail(c.t, "it doesn't end")
	}
	expected := notices
	for _, line := range c.lines() {
		assert.NotContains(c.t, line, "DATA RACE")
		if !slices.Contains(c.cmd.Args, "-bare") { // which promises nothing
			assert.NotContains(c.t, line, "used after its close")
		}
		if text, ok := strings.CutPrefix(line, "live: "); ok {
			assert.Empty(c.t, said, "one line says how it went, and is the last")
			if n := slices.IndexFunc(expected, func(n *regexp.Regexp) bool { return n.MatchString(text) }); n >= 0 {
				expected = expected[n+1:]
				continue
			}
			said = text
		}
	}
	return c.cmd.ProcessState.ExitCode(), said
}

func TestLive(t *testing.T) {
	c := start(t, "-addr", "127.0.0.1:0")
	const each, finite = 20, 5
	var clients []client
	for i := range each {
		clients = append(clients, dashboardClient)
		if i == 0 {
			clients = append(clients, chatSpeaker)
		} else {
			clients = append(clients, chatListener)
		}
		if i < finite {
			clients = append(clients, answerClient, downloadClient)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), childLimit)
	defer cancel()
	results, err := runClients(ctx, c.url(), clients, func() { c.signal(syscall.SIGTERM) })
	require.NoError(t, err)
	status, said := c.end()
	assert.Equal(t, exitOK, status)
	assert.Contains(t, said, "nothing was cut; all 50 responses ended in order")
	c.await(fmt.Sprintf(`msg="drain begins" finite=%d sse=%d websocket=%d other=0`, 2*finite, each, each))

	var last time.Time
	counts := map[string]int{}
	slots := map[string]map[time.Duration]bool{"websocket": {}, "dashboard": {}}
	for _, s := range results {
		require.NoError(t, s.err, s.kind)
		counts[s.kind]++
		if s.endedAt.After(last) {
			last = s.endedAt
		}
		retry := s.retry.Milliseconds()
		switch s.kind {
		case "websocket":
			assert.Equal(t, 1012, s.code)
			assert.Equal(t, fmt.Sprintf("restarting; retry=%d", retry), s.reason)
			assert.JSONEq(t, fmt.Sprintf(`{"type":"bye","retry":%d}`, retry), s.last)
		case "dashboard":
			assert.Equal(t, "shutdown", s.event)
			assert.JSONEq(t, fmt.Sprintf(`{"retry":%d}`, retry), s.data)
		case "answer":
			assert.Equal(t, "done", s.event)
			assert.JSONEq(t, `{"tokens":30}`, s.data)
		case "download":
			assert.EqualValues(t, 1<<20, s.bytes)
		}
		if used := slots[s.kind]; used != nil {
			assert.True(t, 1000 <= retry && retry <= 5000, "%s: retry %d", s.kind, retry)
			used[s.retry] = true
		}
	}
	assert.Equal(t, map[string]int{"websocket": each, "dashboard": each, "answer": finite, "download": finite}, counts)
	for kind, used := range slots {
		assert.GreaterOrEqual(t, len(used), each-2, "each %s is asked to come back at a time of its own", kind)
	}
	t.Logf("the process was gone %v after its last client's end", c.gone.Sub(last))
	assert.Less(t, c.gone.Sub(last), exitWithin)
}

func TestNothingOpenIsNothingToWaitFor(t *testing.T) {
	c := start(t, "-addr", "127.0.0.1:0")
	base := c.url()
	signaled := time.Now()
	c.signal(os.Interrupt)
	status, said := c.end()
	assert.Equal(t, exitOK, status)
	assert.Contains(t, said, "nothing was cut; all 0 responses")
	c.await("^live: open " + base + ", then press Ctrl-C$")
	c.await("^live: stopping; press Ctrl-C again to cut what is still open$")
	assert.Less(t, c.gone.Sub(signaled), exitSlack)
}

func TestSecondSignalCuts(t *testing.T) {
	for name, query := range map[string]string{
		"declared": "bytes=1000000000&rate=100000",
		"chunked":  "bytes=1000000000&rate=100000&chunked=1",
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, "-addr", "127.0.0.1:0")
			ctx, cancel := context.WithTimeout(t.Context(), childLimit)
			defer cancel()
			long := func(ctx context.Context, client *http.Client, base string, received func()) (result, error) {
				return body(ctx, client, base+"/download?"+query, received)
			}
			var again time.Time
			results, err := runClients(ctx, c.url(), []client{long}, func() {
				c.signal(syscall.SIGTERM)
				c.await(`msg="drain begins" finite=1`)
				c.await("press Ctrl-C again to cut")
				again = time.Now()
				c.signal(syscall.SIGTERM)
			})
			require.NoError(t, err)
			assert.Error(t, results[0].err, "what was cut short never looks whole")
			status, said := c.end()
			assert.Equal(t, exitCut, status)
			assert.Equal(t, "1 of 1 responses were cut", said)
			assert.Less(t, c.gone.Sub(again), exitSlack)
			c.await(`msg=cut route="GET /download" kind=finite`)
		})
	}
}

func TestBudgetEnds(t *testing.T) {
	c := start(t, "-addr", "127.0.0.1:0", "-budget", "4s")
	ctx, cancel := context.WithTimeout(t.Context(), childLimit)
	defer cancel()
	long := func(ctx context.Context, client *http.Client, base string, received func()) (result, error) {
		return body(ctx, client, base+"/download?bytes=1000000000&rate=100000&chunked=1", received)
	}
	var signaled time.Time
	results, err := runClients(ctx, c.url(), []client{long, dashboardClient, chatListener}, func() {
		signaled = time.Now()
		c.signal(syscall.SIGTERM)
	})
	require.NoError(t, err)
	assert.Equal(t, "truncated, cut off: unexpected EOF", results[0].outcome())
	assert.Equal(t, "shutdown", results[1].event)
	assert.Equal(t, 1012, results[2].code)
	status, said := c.end()
	assert.Equal(t, exitCut, status)
	assert.Equal(t, "1 of 3 responses were cut", said)
	took := c.gone.Sub(signaled)
	assert.Greater(t, took, time.Second, "it was let go on")
	assert.Less(t, took, 4*time.Second+exitSlack)
}

func TestUsage(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	bad := file(t, "{\"routes\": {\"/ws\": {\n\"spred\": \"1s\"}}}")
	long := file(t, `{"routes": {"/ws": {"spread": "30s"}}}`)
	for _, c := range []struct {
		args string
		want string
	}{
		{"-nonsense", "flag provided but not defined: -nonsense"},
		{"-budget soon", `invalid value "soon" for flag -budget`},
		{"-budget 0s", "-budget is 0s: use a time over 0s"},
		{"-announce -1s", "-announce is -1s: use 0s or more"},
		{"-rules -bare", "-rules and -policy are about lastcall's drain"},
		{"-policy nowhere.json", "can't read -policy: open nowhere.json"},
		{"-policy " + bad, "policy: " + bad + `:2: unknown field "spred"; a rule has`},
		{"-policy " + long, `:1: route "/ws" needs 30s (spread 30s) but the budget leaves 23s of 25s`},
		{"-clients 0 -demo", "-clients is 0: use 1 or more"},
		{"now", `unexpected argument "now"`},
		{"-budget 2s", `route "/ws" needs 3s (spread 1s + timeout 2s)`},
		{"-budget 5s -announce 4500ms", "Budget.Announce"},
		{"-addr nowhere", `can't listen on -addr "nowhere"`},
		{"-addr " + taken.Addr().String(), "address " + taken.Addr().String() + " is in use"},
	} {
		child := start(t, strings.Fields(c.args)...)
		status, said := child.end()
		assert.Equal(t, exitUsage, status, c.args)
		assert.Contains(t, said, c.want)
		assert.Len(t, child.lines(), 1, c.args)
		assert.Zero(t, child.out.Len(), c.args)
	}
}

// count gives the number in the line of a demonstration's tables that begins with what and holds
// note.
func count(t *testing.T, tables, what, note string) (n int) {
	for line := range strings.Lines(tables) {
		if strings.HasPrefix(line, what) && strings.Contains(line, note) {
			_, err := fmt.Sscanf(strings.TrimPrefix(line, what), "%d", &n)
			require.NoError(t, err, line)
			return n
		}
	}
	require.Fail(t, "no line "+what+" … "+note, tables)
	return 0
}

func TestDemo(t *testing.T) {
	c := start(t, "-demo", "-clients", "40")
	status, said := c.end()
	assert.Equal(t, exitOK, status)
	assert.Contains(t, said, "nothing was cut")
	out := c.out.String()
	for what, want := range map[string]int{"found": 40, "completed": 8, "told": 32, "cut": 0, "refused": 0} {
		assert.Equal(t, want, count(t, out, what, ""), what)
	}
	assert.Equal(t, 16, count(t, out, "websocket", `close 1012 "restarting; retry=…"`))
	assert.Equal(t, 16, count(t, out, "dashboard", `event "shutdown", clean end`))
	assert.Equal(t, 4, count(t, out, "answer", `event "done", clean end`))
	assert.Equal(t, 4, count(t, out, "download", "1048576 bytes, clean end"))
}

func TestDemoBare(t *testing.T) {
	c := start(t, "-demo", "-bare", "-clients", "20", "-budget", "4s")
	status, said := c.end()
	var waits []string
	for _, line := range c.lines() {
		assert.NotContains(t, line, "Ctrl-C", "nobody has to press it in a demonstration")
		if strings.Contains(line, `msg="Shutdown waits"`) {
			waits = append(waits, line)
		}
	}
	assert.InDelta(t, 4, len(waits), 1, "it says what it waits for every second")
	assert.Contains(t, waits[0], `for="4 finite, 8 sse" not_for="8 websocket" left=4s`)
	assert.Contains(t, waits[len(waits)-1], `for="8 sse" not_for="8 websocket"`)
	assert.Equal(t, exitCut, status)
	assert.Equal(t, "16 of 20 responses were cut", said)
	out := c.out.String()
	assert.Equal(t, 16, count(t, out, "cut", "gave up: context deadline exceeded"))
	assert.Equal(t, 8, count(t, out, "websocket", "1006, no close frame"))
	assert.Equal(t, 8, count(t, out, "dashboard", "no last event, cut off"))
	assert.Equal(t, 2, count(t, out, "answer", `event "done", clean end`))
	assert.Equal(t, 2, count(t, out, "download", "1048576 bytes, clean end"))
}
