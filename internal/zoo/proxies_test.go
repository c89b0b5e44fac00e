package zoo

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestProxies has the clients of browsers go through a rolling update of the two servers behind a
// proxy.
func TestProxies(t *testing.T) {
	t.Parallel()
	for _, proxy := range []struct {
		name     string
		variable string
		config   string
		args     []string
	}{
		{"nginx", "LASTCALL_NGINX", "nginx.conf", []string{"-e", "error.log", "-p", ".", "-c"}},
		{"haproxy", "LASTCALL_HAPROXY", "haproxy.cfg", []string{"-db", "-q", "-f"}},
	} {
		t.Run(proxy.name, func(t *testing.T) {
			t.Parallel()
			path := program(t, proxy.variable, proxy.name)
			a, b := start(t, "a1", "127.0.0.1:0", false), start(t, "b1", "127.0.0.1:0", false)
			z := zoo{newCollector(t), free(t), false}
			configured := configure(t, proxy.config, z.addr, a, b)
			cmd := exec.Command(path, append(proxy.args, configured)...)
			cmd.Dir, cmd.Stderr = filepath.Dir(configured), os.Stderr
			run(t, cmd)
			listens(t, z.addr)
			var r residents
			r.add(z.chromium(t))
			r.add(z.firefox(t))

			z.ready(t, r)
			z.ask(t, r)
			for _, old := range []struct {
				*process
				next     string
				standing []string // the processes that clients may be at then
			}{
				{a, "a2", []string{"a2", "b1"}},
				{b, "b2", []string{"a2", "b2"}},
			} {
				report := old.stop(t)
				assert.Zero(t, report.Unanswered+report.Canceled+report.Cut, "%+v", report)
				rest(gap)
				start(t, old.next, old.addr, false)
				gone := z.wait(r.streams, back, func(s *seen) bool { return s.on(old.standing...) })
				assert.Empty(t, gone, "never back")
			}
			z.checkMoves(t, r, nil)
			z.checkAnswers(t, r)
			z.checkSockets(t, r)
		})
	}
}

// configure writes the configuration of a proxy into a folder of its own.
func configure(t *testing.T, name, addr string, a, b *process) (path string) {
	t.Helper()
	config, err := os.ReadFile(name)
	require.NoError(t, err)
	path = filepath.Join(t.TempDir(), name)
	filled := strings.NewReplacer("PROXY", addr, "SERVER_A", a.addr, "SERVER_B", b.addr).Replace(string(config))
	require.NoError(t, os.WriteFile(path, []byte(filled), 0o600))
	return path
}

// free returns an address on which nobody listens.
func free(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	return ln.Addr().String()
}

// listens waits until somebody listens on an address.
func listens(t *testing.T, addr string) {
	t.Helper()
	for end := time.Now().Add(limit); ; rest(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			require.NoError(t, conn.Close())
			return
		}
		require.Less(t, time.Now(), end, err)
	}
}
