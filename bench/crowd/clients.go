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

// clientsEnv set, this program is a process of clients.
const clientsEnv = "LASTCALL_CROWD_CLIENTS"

func isClients() bool { return os.Getenv(clientsEnv) != "" }

// patience is for what should come at once, on the slowest machine.
const patience = 20 * time.Second

// A visit is what one process of clients is to open at a server.
type visit struct {
	Addr                   string
	Events, Sockets, Stuck int
}

func (v visit) count() int { return v.Events + v.Sockets + v.Stuck }

// A sighting is what one client saw of its stream.
type sighting struct {
	Socket, Stuck bool
	Told          time.Time     // when it had all of its farewell
	Ended         time.Time     // when the stream was over
	Retry         time.Duration // its reconnect slot
	Fault         string        // what was wrong; empty: nothing
}

// runClients is main for a process of clients. It returns the exit status.
func runClients() int {
	if err := attend(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "crowd: clients:", err)
		return exitBroken
	}
	return exitOK
}

// attend reads a visit, opens its streams, writes how many there are, follows all of them to their end, and writes what
// each client saw. When in ends, what is still open has little time left: nobody is there any more to end it.
func attend(in io.Reader, out io.Writer) error {
	orders := json.NewDecoder(in)
	var v visit
	if err := orders.Decode(&v); err != nil {
		return fmt.Errorf("whom to visit: %w", err)
	}
	clients, err := v.open()
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

	left := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, in)
		for _, c := range clients {
			_ = c.conn.SetDeadline(time.Now().Add(patience)) // most are closed
		}
		close(left)
	}()
	seen := make([]sighting, len(clients))
	var following sync.WaitGroup
	for i, c := range clients {
		following.Go(func() {
			if c.stuck {
				<-left
			}
			seen[i] = c.follow()
		})
	}
	following.Wait()
	for _, s := range seen {
		if err := lines.Encode(s); err != nil {
			return err
		}
	}
	return buffered.Flush()
}

// open opens all streams, some at a time, and gives those that it could open.
func (v visit) open() ([]*client, error) {
	clients := make([]*client, v.count())
	var opening errgroup.Group
	opening.SetLimit(32)
	for i := range clients {
		opening.Go(func() (err error) {
			switch {
			case i < v.Stuck:
				clients[i], err = open(v.Addr, stuck)
			case i < v.Stuck+v.Events:
				clients[i], err = open(v.Addr, events)
			default:
				clients[i], err = open(v.Addr, sockets)
			}
			return err
		})
	}
	return clients, opening.Wait()
}
