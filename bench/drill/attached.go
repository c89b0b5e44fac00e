package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// attach returns the process that -pid names, which is no child of the judge.
func attach(pid int) (*process, error) {
	if pid == os.Getpid() {
		return nil, fmt.Errorf("process %d is the judge itself; give the -pid of a server", pid)
	}
	proc, err := os.FindProcess(pid)
	if err == nil {
		err = proc.Signal(syscall.Signal(0))
	}
	if err == nil && isZombie(pid) {
		err = os.ErrProcessDone
	}
	if err != nil {
		return nil, notFound(pid, err)
	}
	p := &process{proc: proc, attached: true, done: make(chan struct{}), status: -1}
	p.watching.Go(p.watch)
	return p, nil
}

// notFound says why a process can't be judged, by the error of a signal to it.
func notFound(pid int, err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("process %d is not ours to end: %w", pid, err)
	}
	return fmt.Errorf("there is no process %d", pid)
}

// watch closes done when the process has ended, or is not to be watched any more.
func (p *process) watch() {
	defer close(p.done)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !p.detached.Load() && p.proc.Signal(syscall.Signal(0)) == nil && !isZombie(p.proc.Pid) {
		<-tick.C
	}
	p.endedAt, p.how = time.Now(), "it is gone"
}

// close ends the process if the judge has started it, and else only ceases to watch it.
func (p *process) close() {
	if p.attached {
		p.detached.Store(true)
		p.watching.Wait()
		return
	}
	_ = p.kill() // the caller has an error already, or the process has ended
}

// procDir is where Linux has files about processes. Elsewhere it is missing, and the judge does
// without.
const procDir = "/proc"

// stat returns the state of a process, such as "S", and the id of its parent; false where they
// can't be told.
func stat(pid int) (state string, parent int, ok bool) {
	text, err := os.ReadFile(filepath.Join(procDir, strconv.Itoa(pid), "stat"))
	if err != nil {
		return "", 0, false
	}
	// The second field is the command's name, in parentheses. It may have others, and spaces.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 2 {
		return "", 0, false
	}
	parent, err = strconv.Atoi(fields[1])
	return fields[0], parent, err == nil
}

// isZombie reports whether a process has ended, but its parent has not asked for its status.
func isZombie(pid int) bool {
	state, _, ok := stat(pid)
	return ok && (state == "Z" || state == "X")
}

// awaitServer waits until the process listens on a TCP port, or one that it has started. It returns
// an error if they don't, or if -url was left out and they listen elsewhere: SIGTERM is for the
// server that the clients see.
func (j *judge) awaitServer(p *process) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; {
		ports, known := listening(p.proc.Pid)
		switch {
		case p.hasEnded(): // awaitListener says so
			return nil
		case !known || len(ports) > 0 && (j.urlGiven || slices.Contains(ports, j.port())):
			return nil
		case len(ports) > 0:
			return fmt.Errorf("process %d listens on port %s; give its -url", p.proc.Pid, strings.Join(ports, " and "))
		case time.Since(began) > j.startWithin:
			return fmt.Errorf("process %d is no server: it listens on no TCP port", p.proc.Pid)
		}
		select {
		case <-tick.C:
		case <-j.ctx.Done():
			return errInterrupted
		}
	}
}

// listening returns the TCP ports on which a process listens, or one that it has started; false
// where that can't be told.
func listening(pid int) (ports []string, known bool) {
	family := []int{pid}
	parents := map[int]int{}
	all, _ := filepath.Glob(filepath.Join(procDir, "[0-9]*"))
	for _, dir := range all {
		if child, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			_, parents[child], _ = stat(child)
		}
	}
	for i := 0; i < len(family); i++ {
		for child, parent := range parents {
			if parent == family[i] && !slices.Contains(family, child) {
				family = append(family, child)
			}
		}
	}
	for _, member := range family {
		found, ok := listeningAlone(member)
		known = known || ok
		ports = append(ports, found...)
	}
	slices.Sort(ports)
	return slices.Compact(ports), known
}

// listeningAlone is listening for one process.
func listeningAlone(pid int) (ports []string, known bool) {
	dir := filepath.Join(procDir, strconv.Itoa(pid))
	files, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return nil, false
	}
	open := map[string]bool{}
	for _, f := range files {
		target, _ := os.Readlink(filepath.Join(dir, "fd", f.Name()))
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			open[strings.TrimSuffix(inode, "]")] = true
		}
	}
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(filepath.Join(dir, "net", table))
		known = known || err == nil
		for line := range strings.Lines(string(text)) {
			const address, state, inode = 1, 3, 9
			fields := strings.Fields(line)
			if len(fields) <= inode || fields[state] != "0A" || !open[fields[inode]] { // LISTEN
				continue
			}
			_, hex, _ := strings.Cut(fields[address], ":")
			if port, err := strconv.ParseUint(hex, 16, 16); err == nil {
				ports = append(ports, strconv.FormatUint(port, 10))
			}
		}
	}
	return ports, known
}
