package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// started starts a server of a sort, to which the judge has to attach.
func started(t *testing.T, sort string) (cmd *exec.Cmd, addr string) { return startedBy(t, sort, true) }

// startedBy does so as a parent that asks for its status when it ends, or as one that doesn't.
func startedBy(t *testing.T, sort string, asks bool) (cmd *exec.Cmd, addr string) {
	addr = freeAddress(t)
	cmd = exec.Command(os.Args[0], addr)
	cmd.Env = append(os.Environ(), serveAs+"="+sort)
	require.NoError(t, cmd.Start())
	ended := sync.OnceFunc(func() { _ = cmd.Wait() })
	if asks {
		go ended()
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		ended()
	})
	return cmd, addr
}

// judgedRunning runs the command on a server that runs already.
func judgedRunning(t *testing.T, cmd *exec.Cmd, addr string, args ...string) (status int, out, log string) {
	args = append([]string{"-pid", strconv.Itoa(cmd.Process.Pid), "-url", "http://" + addr, "-clients", "2"}, args...)
	var text, errors bytes.Buffer
	status = run(t.Context(), args, &text, &errors)
	return status, text.String(), errors.String()
}

func TestAttachedServers(t *testing.T) {
	t.Parallel()
	for sort, want := range map[string][]string{
		"ends well":                nil,
		"cancels its base context": {"4.1", "4.3", "4.4"},
		"never ends":               {"4.1", "4.4", "6.1"},
	} {
		t.Run(sort, func(t *testing.T) {
			t.Parallel()
			limit := "15s"
			if sort == "never ends" {
				limit = "2s"
			}
			cmd, addr := started(t, sort)
			status, out, log := judgedRunning(t, cmd, addr, "-look", "2s", "-limit", limit, "-route", "/events", "-route", "/ws", "-route", "/answer")
			if want == nil {
				assert.Equal(t, exitOK, status, out+log)
			} else {
				assert.Equal(t, exitBroken, status, out+log)
			}
			for _, number := range want {
				assert.Regexp(t, `(?m)^`+number+` .* BROKEN `, out)
			}
			assert.Contains(t, out, "process "+strconv.Itoa(cmd.Process.Pid)+", ")
			assert.Regexp(t, `(?m)^under load, as new clients come +\d\.\d\ds +(-|SIGKILL)$`, out)
			if sort == "never ends" {
				assert.Regexp(t, ` [234]\.\d\ds +SIGKILL`, out) // the limit, and not 5 s of new clients before it
			}
			assert.Regexp(t, `(?m)^6.2 .* not met `, out)
		})
	}
}

// TestNotAttached checks what is said in place of a report.
func TestNotAttached(t *testing.T) {
	t.Parallel()
	usage := func(t *testing.T, want string, args ...string) {
		var log bytes.Buffer
		assert.Equal(t, exitCannotJudge, run(t.Context(), append(args, "-route", "/events", "-look", "3s"), io.Discard, &log))
		assert.Equal(t, want, log.String())
	}
	t.Run("the judge", func(t *testing.T) {
		pid := strconv.Itoa(os.Getpid())
		usage(t, "drill: process "+pid+" is the judge itself; give the -pid of a server\n", "-pid", pid)
	})
	t.Run("a process that is gone", func(t *testing.T) {
		cmd := exec.Command(os.Args[0], "-test.run", "^$")
		require.NoError(t, cmd.Run())
		pid := strconv.Itoa(cmd.Process.Pid)
		usage(t, "drill: there is no process "+pid+"\n", "-pid", pid)
	})
	t.Run("somebody else's", func(t *testing.T) {
		assert.EqualError(t, notFound(1, syscall.EPERM), "process 1 is not ours to end: operation not permitted")
		assert.EqualError(t, notFound(1, syscall.ESRCH), "there is no process 1")
	})
	t.Run("a wrong URL", func(t *testing.T) {
		t.Parallel()
		cmd, own := started(t, "ends well")
		awaitListener(t, own)
		addr := freeAddress(t)
		usage(t, "drill: nothing listens at http://"+addr+" after 1s; give the server's -url\n",
			"-pid", strconv.Itoa(cmd.Process.Pid), "-url", "http://"+addr, "-start", "1s")
		assert.NoError(t, cmd.Process.Signal(syscall.Signal(0)), "it is left alone")
	})
	for name, args := range map[string][]string{"dies in the look": {"/events"}, "dies under load": {"/now", "/events"}} {
		t.Run("one that "+name, func(t *testing.T) {
			t.Parallel()
			cmd, addr := started(t, name)
			for i := range args {
				args[i] = "-route=" + args[i]
			}
			status, out, log := judgedRunning(t, cmd, addr, append(args, "-look=3s", "-clients=5")...)
			assert.Equal(t, exitCannotJudge, status)
			assert.Empty(t, out)
			switch name {
			case "dies in the look":
				assert.Equal(t, "drill: the server ended while its routes were looked at: it is gone\n", log)
			default:
				assert.Equal(t, "drill: the server ended by itself, under load, as new clients come, before SIGTERM: it is gone\n", log)
			}
		})
	}
	t.Run("one that dies, with a command", func(t *testing.T) {
		t.Parallel()
		addr := freeAddress(t)
		usage(t, "drill: the server ended while its routes were looked at: exit status 7\n",
			"-url", "http://"+addr, "-route", "/events", "-look", "3s", "--", "env", serveAs+"=dies in the look", os.Args[0], addr)
	})
	t.Run("an interrupt", func(t *testing.T) {
		t.Parallel()
		cmd, addr := started(t, "ends well")
		awaitListener(t, addr)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var log bytes.Buffer
		assert.Equal(t, exitCannotJudge, run(ctx, []string{"-pid", strconv.Itoa(cmd.Process.Pid), "-url", "http://" + addr, "-route", "/events"}, io.Discard, &log))
		assert.Equal(t, "drill: interrupted\n", log.String())
		assert.NoError(t, cmd.Process.Signal(syscall.Signal(0)), "it is left alone")
	})
}

func awaitListener(t *testing.T, addr string) {
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)
}
