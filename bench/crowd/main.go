// Command crowd holds many streams open over loopback, drains their server, and compares what the
// clients saw, by their own clocks, with bounds:
//
//	go run ./bench/crowd                          # 10,000 streams, half of them WebSockets, over 20 s
//	go run ./bench/crowd -budget 2s               # the same streams with 2 s for all of it
//	go run ./bench/crowd -websockets 0 -stuck 100 # event streams alone, a hundred of them never read
//
// The clients run in processes of their own, since a stream takes one file descriptor at either
// end: how many a process may have open limits -streams. They accept whole events and frames only,
// in order, one farewell, after all else, and a clean end after it. All processes use this
// machine's clock.
//
// The exit status is 0 where every bound holds, 1 where one is exceeded, which the error names, and
// 2 for invalid flags.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"time"
)

const (
	exitOK     = 0
	exitBroken = 1
	exitUsage  = 2
)

func main() {
	if isClients() {
		os.Exit(runClients())
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with arguments and output as parameters. It returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	fail := func(status int, err error) int {
		fmt.Fprintln(stderr, "crowd:", err)
		return status
	}
	c, err := parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		return fail(exitUsage, fmt.Errorf("%w (see -h)", err))
	}
	f, err := c.measure(context.Background())
	if err != nil {
		return fail(exitBroken, err)
	}
	lines := f.judge()
	f.print(stdout, lines)
	if err := broken(lines); err != nil {
		return fail(exitBroken, err)
	}
	return exitOK
}

// A config is the values of the flags.
type config struct {
	streams, stuck, processes int
	websockets                float64 // their share of the streams
	spread, budget, every     time.Duration
}

// sockets returns how many of the streams are WebSockets.
func (c config) sockets() int { return int(math.Round(c.websockets * float64(c.streams))) }

// events returns how many of the streams are event streams, the stuck ones included.
func (c config) events() int { return c.streams - c.sockets() }

// parse reads the flags. With -h it writes the usage and returns flag.ErrHelp.
func parse(args []string, usage io.Writer) (config, error) {
	var c config
	f := flag.NewFlagSet("crowd", flag.ContinueOnError)
	f.SetOutput(io.Discard) // errors are printed in one line, without the usage
	f.IntVar(&c.streams, "streams", 10_000, "how `many` streams to hold open")
	f.Float64Var(&c.websockets, "websockets", 0.5, "the `share` of them that are WebSockets; the others are event streams")
	f.IntVar(&c.stuck, "stuck", 0, "on how `many` of the event streams the client reads nothing")
	f.DurationVar(&c.spread, "spread", 20*time.Second, "`time` over which the farewells are spread")
	f.DurationVar(&c.budget, "budget", 0, "`time` that the whole drain is given; 0s: as much as its rules need")
	f.DurationVar(&c.every, "every", 5*time.Second, "`time` between two messages on a stream")
	f.IntVar(&c.processes, "processes", 2, "how `many` processes the clients share")

	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(usage, "Usage: crowd [flags]")
		f.SetOutput(usage)
		f.PrintDefaults()
	case err != nil:
	case f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q: everything is a flag", f.Arg(0))
	case c.streams < 1:
		err = fmt.Errorf("-streams is %d: use 1 or more", c.streams)
	case !(0 <= c.websockets && c.websockets <= 1):
		err = fmt.Errorf("-websockets is %v: use a share from 0 to 1", c.websockets)
	case c.stuck < 0 || c.stuck > c.events():
		err = fmt.Errorf("-stuck is %d: use 0 to %d, which is how many event streams there are", c.stuck, c.events())
	case c.spread <= 0:
		err = fmt.Errorf("-spread is %v: use a time over 0s", c.spread)
	case c.budget < 0:
		err = fmt.Errorf("-budget is %v: use 0s or more", c.budget)
	case c.every <= 0:
		err = fmt.Errorf("-every is %v: use a time over 0s", c.every)
	case c.processes < 1:
		err = fmt.Errorf("-processes is %d: use 1 or more", c.processes)
	}
	return c, err
}
