package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

// A process is a server's.
type process struct {
	proc        *os.Process
	attached    bool          // by -pid: the judge hasn't started it
	signal      os.Signal     // that asks it to end
	signaled    time.Time     // when that was sent; zero: not yet
	endedBefore bool          // it had ended by itself before the signal
	done        chan struct{} // closed when it has ended; what follows is readable then
	endedAt     time.Time
	status      int    // -1: not known, or a signal has ended it
	how         string // it ended, for people

	detached atomic.Bool // an attached process is not watched any more
	watching sync.WaitGroup
}

const (
	// freeWithin is how long the address may still be in use when the last server has ended.
	freeWithin = time.Second
	// settleFor is how long a server has after it listens: many catch signals a moment later.
	settleFor = 200 * time.Millisecond
	// killWithin is how long SIGKILL may take: a process in a system call may end late.
	killWithin = 5 * time.Second
)

// start starts the server, or attaches to the one that runs, and returns when it accepts
// connections.
func (j *judge) start() (*process, error) {
	if j.pid != 0 {
		p, err := attach(j.pid)
		if err != nil {
			return nil, err
		}
		p.signal = signals[j.signal]
		if err = j.awaitServer(p); err == nil {
			err = j.awaitListener(p)
		}
		if err != nil {
			p.close()
			return nil, err
		}
		return p, nil
	}
	if err := j.awaitFreeAddress(); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(j.ctx, j.command[0], j.command[1:]...)
	if j.verbose {
		cmd.Stdout, cmd.Stderr = j.log, j.log
	}
	cmd.WaitDelay = time.Second // for its children that still have its output open
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{proc: cmd.Process, signal: signals[j.signal], done: make(chan struct{}), status: -1}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // its status is looked at
		p.endedAt, p.status, p.how = time.Now(), cmd.ProcessState.ExitCode(), cmd.ProcessState.String()
		killGroup(cmd) // what it has started and left behind, which might hold the address
	}()
	if err := j.awaitListener(p); err != nil {
		p.close()
		return nil, err
	}
	time.Sleep(settleFor)
	return p, nil
}

func (j *judge) awaitFreeAddress() error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < freeWithin; <-tick.C {
		c, err := j.dial(j.ctx)
		if err != nil {
			return nil
		}
		c.Close()
	}
	return fmt.Errorf("something listens at %s before the server was started", &j.url)
}

func (j *judge) awaitListener(p *process) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < j.startWithin; {
		if c, err := j.dial(j.ctx); err == nil {
			return c.Close()
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("the server ended before it listened at %s: %s", &j.url, p.how)
		case <-j.ctx.Done():
			return errInterrupted
		}
	}
	return fmt.Errorf("nothing listens at %s after %v; give the server's -url", &j.url, j.startWithin)
}

var errInterrupted = errors.New("interrupted")

// terminate sends the signal, unless the process has ended.
func (p *process) terminate() {
	p.endedBefore = p.hasEnded() || isZombie(p.proc.Pid)
	p.signaled = time.Now()
	if err := p.proc.Signal(p.signal); err != nil {
		p.endedBefore = true
	}
}

// end waits for the process's end, and sends SIGKILL when the limit is up, which counts from the
// signal. It returns early when ctx ends.
func (p *process) end(ctx context.Context, limit time.Duration) (killed bool, err error) {
	timer := time.NewTimer(time.Until(p.signaled.Add(limit)))
	defer timer.Stop()
	select {
	case <-p.done:
		return false, nil
	case <-ctx.Done():
		return false, errInterrupted
	case <-timer.C:
		return true, p.kill()
	}
}

// kill sends SIGKILL, and waits for the process's end.
func (p *process) kill() error {
	_ = p.proc.Kill()
	if !await(p.done, killWithin) {
		return fmt.Errorf("process %d has not ended %v after SIGKILL", p.proc.Pid, killWithin)
	}
	return nil
}

func (p *process) hasEnded() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// endsNow reports whether the process is about to end, after clients have failed: the system closes
// the connections of a process before its end can be seen.
func (p *process) endsNow() bool { return await(p.done, time.Second) }

// await waits until done is closed, and reports false if that takes longer.
func await(done <-chan struct{}, atMost time.Duration) bool {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
