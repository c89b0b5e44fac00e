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

// guests are the processes that the clients run in.
type guests []*party

// A party is one process of clients. It is told whom to visit by its standard input, whose end tells it to end.
type party struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

// invite starts the processes and waits until their clients have had the first of their streams' messages. They are
// ended with ctx at the latest.
func invite(ctx context.Context, c config, addr string) (guests, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("can't start the clients, which are this program again: %w", err)
	}
	all := make(guests, c.processes)
	var arriving errgroup.Group
	for i := range all {
		share := func(n int) int { return n*(i+1)/c.processes - n*i/c.processes }
		arriving.Go(func() (err error) {
			all[i], err = arrive(ctx, self, visit{
				Addr: addr, Events: share(c.events() - c.stuck), Sockets: share(c.sockets()), Stuck: share(c.stuck),
			})
			return err
		})
	}
	if err := arriving.Wait(); err != nil {
		all.dismiss()
		return nil, err
	}
	return all, nil
}

func arrive(ctx context.Context, self string, v visit) (*party, error) {
	p := &party{cmd: exec.CommandContext(ctx, self)}
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
	err = errors.Join(json.NewEncoder(in).Encode(v), p.out.Decode(&open))
	if err == nil && open != v.count() {
		err = fmt.Errorf("%d of them are in", open)
	}
	if err != nil {
		err = fmt.Errorf("process %d didn't get its %d clients in: %w", p.cmd.Process.Pid, v.count(), err)
	}
	return p, err
}

// leave hears what all clients saw, once their streams have ended, and waits for their processes.
func (all guests) leave() (seen []sighting, err error) {
	for _, p := range all {
		_ = p.in.Close() // who is stuck reads on
	}
	for _, p := range all {
		for {
			var s sighting
			if err := p.out.Decode(&s); err != nil {
				break // the process tells what is wrong, if anything
			}
			seen = append(seen, s)
		}
		if e := p.cmd.Wait(); e != nil {
			err = errors.Join(err, fmt.Errorf("process %d of clients: %w", p.cmd.Process.Pid, e))
		}
	}
	return seen, err
}

// dismiss ends those that have come.
func (all guests) dismiss() {
	for _, p := range all {
		if p != nil && p.cmd.Process != nil {
			_ = p.cmd.Process.Kill() // it may have ended
			_, _ = guests{p}.leave() // of a process that was killed
		}
	}
}
