package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// A figure is what one drain showed.
type figure struct {
	server   serverResult
	clients  clientResult
	last     time.Duration // from the beginning of the drain until the last client has seen its end
	median   time.Duration // the same for half of the clients
	finished time.Duration // until nothing was left in the server
}

// compare measures both servers in turn and prints what it saw.
func (c config) compare(w io.Writer) error {
	fmt.Fprintf(w, "%d streams, %d of them WebSockets, told at once; mercy %v; %d cores\n",
		c.Streams, c.sockets(), c.Mercy, runtime.NumCPU())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...any) {
		for _, cell := range cells {
			fmt.Fprintf(t, "%v\t", cell)
		}
		fmt.Fprintln(t)
	}
	row("server", "last end", "median", "server done", "server's CPU", "told, it says", "told, clients say", "clean ends")
	lasts := map[string][]time.Duration{}
	var errs []error
	for i := range 2 * c.rounds {
		role := []string{roleLoop, roleWrapped}[i%2]
		if i > 0 {
			time.Sleep(c.pause)
		}
		f, err := c.measure(role, i)
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", role, err), t.Flush())
		}
		row(role, ms(f.last), ms(f.median), ms(f.finished), ms(f.server.CPU), f.server.Told, f.clients.Told, f.clients.Clean)
		lasts[role] = append(lasts[role], f.last)
		if f.server.Told != c.Streams || f.clients.Told != c.Streams || f.clients.Clean != c.Streams {
			errs = append(errs, fmt.Errorf("%s: of %d streams %d count as told, %d clients were, %d ended clean; one of the faults: %s",
				role, c.Streams, f.server.Told, f.clients.Told, f.clients.Clean, f.clients.Fault))
		}
	}
	_ = t.Flush()
	loop, wrapped := middle(lasts[roleLoop]), middle(lasts[roleWrapped])
	fmt.Fprintf(w, "last end, wrapped over loop, medians: %.2f\n", float64(wrapped)/float64(loop))
	return errors.Join(errs...)
}

// middle returns the median of some times, and sorts them.
func middle(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

func ms(d time.Duration) string { return d.Round(time.Millisecond).String() }
