// Command atonce tells many streams goodbye at once, and compares how long it takes until every
// client has seen its stream's end with what a server takes that does it by a loop of its own:
//
//	go run ./bench/atonce                                              # 2,000 streams
//	go run ./bench/atonce -streams 19900 -pause 1m                     # what 20,000 file descriptors allow
//	go run ./bench/atonce -streams 8000 -websockets 0 -mercy 100ms     # event streams, little time for each
//
// One server runs under a Drainer, the other has its connections in a map under a mutex. They take
// turns, each in a process of its own, and so do their clients, each with an address of its own. A
// server takes some 25 KiB for each stream. All processes use this machine's clock. The programs
// are told to end after two minutes, whatever they are doing.
//
// The exit status is 0 where every stream was told and its client saw that, with a clean end; 1
// where not, or where something went wrong; and 2 for invalid flags.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

const (
	exitOK     = 0
	exitBroken = 1
	exitUsage  = 2
)

func main() {
	if role := os.Getenv(roleEnv); role != "" {
		os.Exit(play(role))
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with arguments and output as parameters. It returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	c, err := parse(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "atonce: %v (see -h)\n", err)
		return exitUsage
	}
	if err := c.compare(stdout); err != nil {
		fmt.Fprintln(stderr, "atonce:", err)
		return exitBroken
	}
	return exitOK
}

// A config is the values of the flags, which the processes get as JSON.
type config struct {
	Streams    int
	WebSockets float64 // their share of the streams
	Mercy      time.Duration
	rounds     int
	pause      time.Duration
}

// parse reads the flags. With -h it writes the usage and returns flag.ErrHelp.
func parse(args []string, usage io.Writer) (config, error) {
	var c config
	f := flag.NewFlagSet("atonce", flag.ContinueOnError)
	f.SetOutput(io.Discard) // errors are printed in one line, without the usage
	f.IntVar(&c.Streams, "streams", 2000, "how `many` streams to hold open")
	f.Float64Var(&c.WebSockets, "websockets", 0.5, "the `share` of them that are WebSockets; the others are event streams")
	f.DurationVar(&c.Mercy, "mercy", time.Second, "the Drainer's `time` between a stream's cancel and its cut")
	f.IntVar(&c.rounds, "rounds", 3, "how `many` times each server is measured")
	f.DurationVar(&c.pause, "pause", 0, "`time` between two measurements, for the kernel to forget their connections")

	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(usage, "Usage: atonce [flags]")
		f.SetOutput(usage)
		f.PrintDefaults()
	case err != nil:
	case f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q: everything is a flag", f.Arg(0))
	case c.Streams < 1:
		err = fmt.Errorf("-streams is %d: use 1 or more", c.Streams)
	case !(0 <= c.WebSockets && c.WebSockets <= 1):
		err = fmt.Errorf("-websockets is %v: use a share from 0 to 1", c.WebSockets)
	case c.Mercy <= 0:
		err = fmt.Errorf("-mercy is %v: use a time over 0s", c.Mercy)
	case c.rounds < 1:
		err = fmt.Errorf("-rounds is %d: use 1 or more", c.rounds)
	case c.pause < 0:
		err = fmt.Errorf("-pause is %v: use 0s or more", c.pause)
	}
	return c, err
}
