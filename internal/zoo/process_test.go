package zoo

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
)

// A process runs the server's program.
type process struct {
	addr     string
	listened time.Time // when it said that it listens

	cmd   *exec.Cmd
	lines *bufio.Scanner // of its standard output
	log   *strings.Builder
	once  sync.Once
	took  time.Duration // from its SIGTERM to its exit
}

// start starts a process, which ends when the test does, if not before.
func start(t *testing.T, name, addr string, secure bool) *process {
	t.Helper()
	p := &process{log: new(strings.Builder)}
	p.cmd = exec.Command(serverFile(), "-name", name, "-addr", addr, fmt.Sprintf("-tls=%t", secure),
		"-modules", filepath.Join(nodeFolder(), "node_modules"))
	p.cmd.Stderr = p.log
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() { p.stop(t) })
	p.lines = bufio.NewScanner(stdout)
	require.True(t, p.lines.Scan(), "%s doesn't listen", name)
	p.addr, p.listened = p.lines.Text(), time.Now()
	return p
}

// stop sends SIGTERM, waits for the end of the process, and returns the report of its drain.
func (p *process) stop(t *testing.T) (report middleware.Report) {
	t.Helper()
	p.once.Do(func() {
		begin := time.Now()
		assert.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
		// The drain ends within its budget; this is for a server that doesn't.
		kill := time.AfterFunc(limit, func() { _ = p.cmd.Process.Kill() })
		defer kill.Stop()
		if p.lines.Scan() {
			assert.NoError(t, json.Unmarshal(p.lines.Bytes(), &report))
		}
		assert.NoError(t, p.cmd.Wait(), "%s", p.log) // its exit status, in words
		p.took = time.Since(begin)
	})
	return report
}

// program returns the path of a program: the value of an environment variable, or else the program
// of that name on the PATH. It skips the test if the variable is not set and the program is not
// installed.
func program(t *testing.T, variable, name string) string {
	t.Helper()
	if path := os.Getenv(variable); path != "" {
		return path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("no %s on the PATH: install it, or say where it is in %s", name, variable)
	}
	return path
}

// run starts a program in a process group of its own, which is killed when the test ends.
func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // with all processes that it started
		_ = cmd.Wait()
	})
}
