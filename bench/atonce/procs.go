package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// roleEnv says what a process is, which is this program again.
const roleEnv = "LASTCALL_ATONCE"

const (
	roleLoop    = "loop"
	roleWrapped = "wrapped"
	roleClients = "clients"
)

// most is how long one measurement may take, from its beginning to its end.
const most = 2 * time.Minute

// play is main for a process with a role. It ends itself when its parent has gone.
func play(role string) int {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	err := errors.New("no such role")
	switch role {
	case roleLoop:
		err = serve(ctx, new(loop), in, out)
	case roleWrapped:
		err = serve(ctx, new(wrapped), in, out)
	case roleClients:
		err = runClients(ctx, in, out)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "atonce: %s: %v\n", role, err)
		return exitBroken
	}
	return exitOK
}

// A proc is a process that this one has started. It takes and gives lines of JSON.
type proc struct {
	cmd *exec.Cmd
	in  io.Closer
	to  *json.Encoder
	*json.Decoder
}

func start(ctx context.Context, role string) (*proc, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &proc{cmd, in, json.NewEncoder(in), json.NewDecoder(out)}, cmd.Start()
}

// measure has one server tell n-th set of clients goodbye.
func (c config) measure(role string, n int) (f figure, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel() // kills what is left
	server, err := start(ctx, role)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, server.end(cancel)) }()
	clients, err := start(ctx, roleClients)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, clients.end(cancel)) }()

	j := job{config: c, Set: n}
	var open int
	if err := errors.Join(server.to.Encode(c), server.Decode(&j.Addr)); err != nil {
		return f, fmt.Errorf("starting the server: %w", err)
	}
	if err := errors.Join(clients.to.Encode(j), clients.Decode(&open)); err != nil {
		return f, fmt.Errorf("starting the clients: %w", err)
	}
	time.Sleep(time.Second) // until both have come to rest
	if err := errors.Join(server.to.Encode("drain"), clients.Decode(&f.clients), server.Decode(&f.server)); err != nil {
		return f, fmt.Errorf("reading results: %w", err)
	}
	ends := f.clients.Ends
	f.last, f.median = ends[len(ends)-1].Sub(f.server.Began), ends[len(ends)/2].Sub(f.server.Began)
	f.finished = f.server.Ended.Sub(f.server.Began)
	return f, nil
}

// end waits for the process, which cancel kills if it doesn't end by itself.
func (p *proc) end(cancel func()) error {
	_ = p.in.Close()
	defer time.AfterFunc(10*time.Second, cancel).Stop()
	return p.cmd.Wait()
}
