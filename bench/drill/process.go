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
	proc   *os.Process
	shown  bool          // by -pid: the judge hasn't started it
	signal os.Signal     // that asks it to end
	asked  time.Time     // to end; zero: it hasn't been
	early  bool          // it had ended before
	gone   chan struct{} // closed when it has ended; what follows is readable then
	at     time.Time     // when
	status int           // -1: not known, or a signal has ended it
	how    string        // for people

	left     atomic.Bool // nobody has to watch it any more
	watching sync.WaitGroup
}

const (
	// freeWithin is how long the server before it may still listen, when its process has ended.
	freeWithin = time.Second
	// settleFor is how long a server has that listens: many do a moment before they catch signals.
	settleFor = 200 * time.Millisecond
	// killWithin is how long SIGKILL may take: a process in the kernel's hands ends late.
	killWithin = 5 * time.Second
)

// start starts the server, or finds the one that runs, and returns when it accepts connections.
func (j *judge) start() (*process, error) {
	if j.pid != 0 {
		p, err := find(j.pid)
		if err != nil {
			return nil, err
		}
		p.signal = signals[j.signal]
		if err = j.awaitServer(p); err == nil {
			err = j.awaitListener(p)
		}
		if err != nil {
			p.leave()
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
	cmd.WaitDelay = time.Second // for what the process has started and that has its output still
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{proc: cmd.Process, signal: signals[j.signal], gone: make(chan struct{}), status: -1}
	go func() {
		defer close(p.gone)
		_ = cmd.Wait() // its status is looked at
		p.at, p.status, p.how = time.Now(), cmd.ProcessState.ExitCode(), cmd.ProcessState.String()
		killGroup(cmd) // what it has started and left behind, which might hold the address
	}()
	if err := j.awaitListener(p); err != nil {
		p.leave()
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
		case <-p.gone:
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
	p.early = p.hasEnded() || isZombie(p.proc.Pid)
	p.asked = time.Now()
	if err := p.proc.Signal(p.signal); err != nil {
		p.early = true
	}
}

// end waits for the process's end, and sends SIGKILL when the limit is up that began with the signal.
// It waits no longer than ctx.
func (p *process) end(ctx context.Context, limit time.Duration) (killed bool, err error) {
	timer := time.NewTimer(time.Until(p.asked.Add(limit)))
	defer timer.Stop()
	select {
	case <-p.gone:
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
	timer := time.NewTimer(killWithin)
	defer timer.Stop()
	select {
	case <-p.gone:
		return nil
	case <-timer.C:
		return fmt.Errorf("process %d has not ended %v after SIGKILL", p.proc.Pid, killWithin)
	}
}

func (p *process) hasEnded() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// endsNow reports whether the process ends, where clients have failed that it might have taken with
// it. The system closes its connections first.
func (p *process) endsNow() bool {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-p.gone:
		return true
	case <-timer.C:
		return false
	}
}
