package recipes

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
)

// programs are what a process that a test has started may be.
var programs = map[string]func() error{
	"tableflip": func() error { return Tableflip(os.Getenv("ADDRESS"), process()) },
	"systemd":   func() error { return Systemd(process()) },
}

// process serves an event stream, and which process this is.
func process() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/news", news)
	mux.HandleFunc("/pid", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getpid()) })
	return mux
}

// The old process drains while the new one accepts on the same socket: whoever asks is served by
// one of them, and nobody is refused.
func TestTableflip(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	url := "http://" + address
	require.NoError(t, free.Close())
	old := exec.Command(os.Args[0])
	old.Env = append(os.Environ(), "PROGRAM=tableflip", "ADDRESS="+address)
	held, err := old.StdoutPipe() // by both processes
	require.NoError(t, err)
	log, err := old.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, old.Start())
	killIfFailed(t, old.Process.Pid)
	logged := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(log)
		logged <- string(text)
	}()
	oldPID := untilServed(t, url+"/pid")
	assert.Equal(t, old.Process.Pid, oldPID)
	feed := openEvents(t, url+"/news")

	require.NoError(t, old.Process.Signal(syscall.SIGHUP))
	told := make(chan struct{})
	var clients sync.WaitGroup
	served := make([]map[int]int, 4) // requests by process
	for i := range served {
		served[i] = make(map[int]int)
		clients.Go(func() {
			for over := false; !over; {
				select {
				case <-told:
					over = true // after one more
				default:
				}
				status, body, err := get(url + "/pid")
				if !assert.NoError(t, err) || !assert.Equal(t, http.StatusOK, status, body) {
					return
				}
				pid, _ := strconv.Atoi(body)
				served[i][pid]++
			}
		})
	}
	assert.Contains(t, feed.rest(), "event: shutdown\n")
	close(told)
	clients.Wait()
	newPID := untilServed(t, url+"/pid")
	killIfFailed(t, newPID)
	assert.NotEqual(t, oldPID, newPID)
	for i, by := range served {
		assert.Positive(t, by[newPID], "client %d: %v", i, by)
		assert.LessOrEqual(t, len(by), 2, "client %d: %v", i, by)
	}

	require.NoError(t, syscall.Kill(newPID, syscall.SIGTERM))
	_, _ = io.Copy(io.Discard, held) // until both have ended
	text := <-logged
	assert.NoError(t, old.Wait(), text)
	assert.Contains(t, text, "a new process has taken over")
	assert.Contains(t, text, "received signal: terminated")
	_, _, err = get(url + "/pid")
	assert.ErrorIs(t, err, syscall.ECONNREFUSED)
}

// Whoever comes while the service restarts waits in systemd's socket, and is served by the next
// process.
func TestSystemd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // systemd's
	require.NoError(t, err)
	defer l.Close()
	url := "http://" + l.Addr().String()
	start := func() (service *exec.Cmd, log *bytes.Buffer) {
		socket, err := l.(*net.TCPListener).File()
		require.NoError(t, err)
		defer socket.Close()
		// exec keeps the process ID, which has to be known before the program begins.
		service, log = exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0"`, os.Args[0]), new(bytes.Buffer)
		service.Env = append(os.Environ(), "PROGRAM=systemd", "LISTEN_FDS=1")
		service.ExtraFiles = []*os.File{socket}
		service.Stderr = log
		require.NoError(t, service.Start())
		killIfFailed(t, service.Process.Pid)
		return service, log
	}
	stop := func(service *exec.Cmd) { require.NoError(t, service.Process.Signal(syscall.SIGTERM)) }

	old, log := start()
	feed := openEvents(t, url+"/news") // waits in the socket until the process is there
	stop(old)
	for line := ""; line != "event: shutdown\n"; {
		line, err = feed.ReadString('\n')
		require.NoError(t, err)
	}
	late := make(chan string, 1)
	go func() {
		status, body, err := get(url + "/pid")
		late <- fmt.Sprint(status, " ", body, " ", err)
	}()
	feed.rest()
	require.NoError(t, old.Wait(), log)

	next, log := start()
	assert.Equal(t, fmt.Sprint(http.StatusOK, " ", next.Process.Pid, " ", nil), <-late)
	stop(next)
	assert.NoError(t, next.Wait(), log)
}

// Without a socket from systemd the error says what is missing.
func TestSystemdWithoutSocket(t *testing.T) {
	assert.ErrorContains(t, Systemd(http.NotFoundHandler()), "start the service by its .socket unit")
}

// untilServed asks until somebody listens, and returns which process has answered.
func untilServed(t *testing.T, url string) (pid int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Timeout)
	defer cancel()
	for {
		_, body, err := get(url)
		if err == nil {
			pid, err = strconv.Atoi(body)
		}
		if err == nil {
			return pid
		}
		require.True(t, pause(ctx), "%v", err)
	}
}

// killIfFailed ends a process of a test that did not come to the point where it does so itself.
func killIfFailed(t *testing.T, pid int) {
	t.Cleanup(func() {
		if t.Failed() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
}
