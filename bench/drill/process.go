package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// A process is a server's.
type process struct {
	proc   *os.Process
	asked  time.Time     // to end; zero: it hasn't been
	gone   chan struct{} // closed when it has ended; what follows is readable then
	at     time.Time     // when
	status int           // -1: not known, or a signal has ended it
	how    string        // for people
}

// startWithin is how long a server has to listen.
const startWithin = 20 * time.Second

// start starts the server, or finds the one that runs, and returns when it accepts connections.
func (j *judge) start() (*process, error) {
	p := &process{gone: make(chan struct{}), status: -1}
	if j.pid != 0 {
		proc, err := os.FindProcess(j.pid)
		if err != nil {
			return nil, err
		}
		p.proc = proc
		go p.watch()
		return p, j.awaitListener(p)
	}
	if c, err := j.dial(context.Background()); err == nil {
		c.Close()
		return nil, fmt.Errorf("something listens at %s before the server was started", j.base)
	}
	cmd := exec.CommandContext(j.ctx, j.command[0], j.command[1:]...)
	if j.verbose {
		cmd.Stdout, cmd.Stderr = j.log, j.log
	}
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.proc = cmd.Process
	go func() {
		defer close(p.gone)
		_ = cmd.Wait() // its status is looked at
		p.at, p.status, p.how = time.Now(), cmd.ProcessState.ExitCode(), cmd.ProcessState.String()
	}()
	err := j.awaitListener(p)
	if err != nil {
		p.kill()
	}
	return p, err
}

// watch closes gone when a process that is no child has ended.
func (p *process) watch() {
	defer close(p.gone)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if p.proc.Signal(syscall.Signal(0)) != nil {
			p.at, p.how = time.Now(), "gone"
			return
		}
	}
}

func (j *judge) awaitListener(p *process) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < startWithin; {
		if c, err := j.dial(context.Background()); err == nil {
			return c.Close()
		}
		select {
		case <-tick.C:
		case <-p.gone:
			return fmt.Errorf("the server ended before it listened at %s: %s", j.base, p.how)
		}
	}
	return fmt.Errorf("nothing listens at %s after %v; give the server's -url", j.base, startWithin)
}

func (j *judge) dial(ctx context.Context) (net.Conn, error) {
	u, err := url.Parse(j.base)
	if err != nil {
		return nil, err
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "80")
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	return d.DialContext(ctx, "tcp", host)
}

// terminate sends SIGTERM.
func (p *process) terminate() {
	p.asked = time.Now()
	_ = p.proc.Signal(syscall.SIGTERM)
}

// end waits for the process's end, and sends SIGKILL when the limit is up.
func (p *process) end(limit time.Duration) (killed bool) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.gone:
		return false
	case <-timer.C:
		p.kill()
		return true
	}
}

func (p *process) kill() {
	_ = p.proc.Kill()
	<-p.gone
}

func (p *process) hasEnded() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}
