package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// clientsEnv is set in a process of clients, which is this program again.
const clientsEnv = "LASTCALL_CROWD_CLIENTS"

func isClients() bool { return os.Getenv(clientsEnv) != "" }

// hangTimeout is how long what should take no time may take on the slowest machine.
const hangTimeout = 20 * time.Second

// A job is how many streams one process of clients opens at a server.
type job struct {
	Addr                   string
	Events, Sockets, Stuck int
}

func (j job) count() int { return j.Events + j.Sockets + j.Stuck }

// A result is what one client saw on its stream.
type result struct {
	Socket, Stuck bool
	Told          time.Time     // when the whole farewell had arrived
	Ended         time.Time     // when the stream ended
	Retry         time.Duration // its reconnect slot
	Fault         string        // what was wrong, if anything
}

// runClients is main for a process of clients. It returns the exit status.
func runClients() int {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "crowd: clients:", err)
		return exitBroken
	}
	return exitOK
}

// serve reads a job, opens its streams, writes how many there are, reads all of them to their end,
// and writes what each client saw. When in ends the drain is over, or the parent process is gone:
// streams that are still open then have hangTimeout left.
func serve(in io.Reader, out io.Writer) error {
	input := json.NewDecoder(in)
	var j job
	if err := input.Decode(&j); err != nil {
		return fmt.Errorf("reading the job: %w", err)
	}
	clients, err := j.open()
	defer func() {
		for _, c := range clients {
			c.close()
		}
	}()
	if err != nil {
		return err
	}
	buffered := bufio.NewWriter(out)
	lines := json.NewEncoder(buffered)
	if err := lines.Encode(len(clients)); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}

	inputEnded := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, in)
		for _, c := range clients {
			_ = c.conn.SetDeadline(time.Now().Add(hangTimeout)) // most have ended by now
		}
		close(inputEnded)
	}()
	results := make([]result, len(clients))
	var following sync.WaitGroup
	for i, c := range clients {
		following.Go(func() {
			if c.stuck {
				<-inputEnded
			}
			results[i] = c.follow()
		})
	}
	following.Wait()
	for _, r := range results {
		if err := lines.Encode(r); err != nil {
			return err
		}
	}
	return buffered.Flush()
}

// open opens all streams, 32 at a time, and returns those that it could open and the first error.
func (j job) open() ([]*client, error) {
	clients := make([]*client, j.count())
	var opening errgroup.Group
	opening.SetLimit(32)
	for i := range clients {
		opening.Go(func() (err error) {
			switch {
			case i < j.Stuck:
				clients[i], err = open(j.Addr, stuck)
			case i < j.Stuck+j.Events:
				clients[i], err = open(j.Addr, events)
			default:
				clients[i], err = open(j.Addr, sockets)
			}
			return err
		})
	}
	return clients, opening.Wait()
}
