package main

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNoServer checks that only a process which listens gets SIGTERM, where the system tells about
// that.
func TestNoServer(t *testing.T) {
	t.Parallel()
	cmd, _ := started(t, "listens nowhere")
	pid := strconv.Itoa(cmd.Process.Pid)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	var log bytes.Buffer
	assert.Equal(t, exitCannotJudge, run(t.Context(), []string{"-pid", pid, "-url", "http://" + l.Addr().String(), "-route", "/", "-start", "200ms"}, io.Discard, &log))
	assert.Equal(t, "drill: process "+pid+" is no server: it listens on no TCP port\n", log.String())
	assert.False(t, isZombie(cmd.Process.Pid), "it is left alone")

	server, addr := started(t, "ends well")
	_, port, _ := strings.Cut(addr, ":")
	log.Reset()
	pid = strconv.Itoa(server.Process.Pid)
	assert.Equal(t, exitCannotJudge, run(t.Context(), []string{"-pid", pid, "-route", "/"}, io.Discard, &log))
	assert.Equal(t, "drill: process "+pid+" listens on port "+port+"; give its -url\n", log.String())
}

// TestZombie judges a server whose parent doesn't ask how it ended, as the first process of a
// container may do.
func TestZombie(t *testing.T) {
	t.Parallel()
	cmd, addr := startedBy(t, "ends well", false)
	status, out, log := judgedRunning(t, cmd, addr, "-look", "3s", "-limit", "20s", "-route", "/events")
	assert.Equal(t, exitOK, status, out+log)
	assert.True(t, isZombie(cmd.Process.Pid))
	_, err := attach(cmd.Process.Pid)
	assert.EqualError(t, err, "there is no process "+strconv.Itoa(cmd.Process.Pid))
}
