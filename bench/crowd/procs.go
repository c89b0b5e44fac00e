package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"golang.org/x/sync/errgroup"
)

// clientProcs are the processes in which the clients run.
type clientProcs []*clientProc

// A clientProc is one of them. It reads its job from its standard input, and when that ends it
// stops waiting for streams that are still open.
type clientProc struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

// startClients starts the processes and waits until their clients have read the first message of
// their streams. The processes are killed when ctx ends.
func startClients(ctx context.Context, c config, addr string) (clientProcs, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("can't start the clients, which are this program again: %w", err)
	}
	all := make(clientProcs, c.processes)
	var starting errgroup.Group
	for i := range all {
		share := func(n int) int { return n*(i+1)/c.processes - n*i/c.processes }
		starting.Go(func() (err error) {
			all[i], err = startClientProc(ctx, self, job{
				Addr: addr, Events: share(c.events() - c.stuck), Sockets: share(c.sockets()), Stuck: share(c.stuck),
			})
			return err
		})
	}
	if err := starting.Wait(); err != nil {
		all.kill()
		return nil, err
	}
	return all, nil
}

func startClientProc(ctx context.Context, self string, j job) (*clientProc, error) {
	p := &clientProc{cmd: exec.CommandContext(ctx, self)}
	p.cmd.Env = append(os.Environ(), clientsEnv+"=1")
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in, p.out = in, json.NewDecoder(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("can't start the clients: %w", err)
	}
	var open int
	err = errors.Join(json.NewEncoder(in).Encode(j), p.out.Decode(&open))
	if err == nil && open != j.count() {
		err = fmt.Errorf("%d of them are in", open)
	}
	if err != nil {
		err = fmt.Errorf("process %d didn't get its %d clients in: %w", p.cmd.Process.Pid, j.count(), err)
	}
	return p, err
}

// results returns what all clients saw, once their streams have ended, and waits for the processes.
func (all clientProcs) results() (results []result, err error) {
	for _, p := range all {
		_ = p.in.Close() // stuck clients begin to read
	}
	for _, p := range all {
		for {
			var r result
			if err := p.out.Decode(&r); err != nil {
				break // if something is wrong the process exits with an error
			}
			results = append(results, r)
		}
		if e := p.cmd.Wait(); e != nil {
			err = errors.Join(err, fmt.Errorf("process %d of clients: %w", p.cmd.Process.Pid, e))
		}
	}
	return results, err
}

// kill ends those that were started.
func (all clientProcs) kill() {
	for _, p := range all {
		if p != nil && p.cmd.Process != nil {
			_ = p.cmd.Process.Kill()        // it may have ended by itself
			_, _ = clientProcs{p}.results() // the process was killed, so there is an error
		}
	}
}
