package browsers

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A process is examples/live as users start it.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	addr    string
	stopped bool
	log     strings.Builder // what it wrote to stderr; it and err are readable once ended is closed
	err     error
	ended   chan struct{}
}

var listening = regexp.MustCompile(`msg=listening addr=(\S+)`)

// launch starts the command and waits until it listens. It is stopped at the latest when the test
// ends.
func launch(t *testing.T, binary, addr string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary, "-addr", addr), ended: make(chan struct{})}
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	at := make(chan string, 1)
	go func() { // ends with the process
		defer close(p.ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			p.log.WriteString(lines.Text() + "\n")
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				at <- m[1]
			}
		}
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.stop()
		p.wait()
	})
	limited, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case p.addr = <-at:
	case <-p.ended:
		require.FailNow(t, "live ended before it listened", "%v\n%s", p.err, &p.log)
	case <-limited.Done():
		require.FailNow(t, "live doesn't listen")
	}
	return p
}

// stop sends the first SIGTERM. A second would cut everything.
func (p *process) stop() {
	p.t.Helper()
	if p.stopped {
		return
	}
	p.stopped = true
	if err := p.cmd.Process.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		assert.NoError(p.t, err)
	}
}

// wait waits for the end of the process, which must find that nothing was cut.
func (p *process) wait() {
	p.t.Helper()
	limited, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	select {
	case <-p.ended:
	case <-limited.Done():
		assert.Fail(p.t, "live doesn't end")
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	assert.NoError(p.t, p.err, "%s", &p.log) // its exit status, in words
}

func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "live")
	cmd := exec.Command("go", "build", "-o", binary, "./examples/live")
	cmd.Dir = filepath.Join("..", "..", "..") // the root's module has all that it needs
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return binary
}
