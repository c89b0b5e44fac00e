package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "herd:", err)
		os.Exit(1)
	}
}

// run is main with arguments and output as parameters: it runs all scenarios, prints their tables
// to out and a summary to log.
func run(args []string, out, log io.Writer) error {
	f := fleet{balance: atRandom}
	flags := flag.NewFlagSet("herd", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are printed in one line, without the flags
	flags.IntVar(&f.replicas, "replicas", 20, "how many replicas there are, two or more")
	flags.IntVar(&f.clients, "clients", 1_000_000, "how many clients there are, up to four billion")
	flags.DurationVar(&f.restart, "restart", 10*time.Second, "how long a replica is away once it has drained")
	flags.Float64Var(&f.ignore, "ignore", 0.05, "the share of clients, 0 to 1, that come back after 10 ms whatever they are told")
	flags.Uint64Var(&f.seed, "seed", 1, "what all that is random is plotted from")
	results := flags.String("results", "", "a `file` to put the tables into, between its marks")
	picture := flags.String("plot", "", "an SVG `file` to draw the mixed population's rolls into")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			flags.SetOutput(log)
			flags.PrintDefaults()
			return nil
		}
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is no flag; -h lists them", flags.Arg(0))
	}
	if err := f.check(); err != nil {
		return err
	}

	begin := time.Now()
	scenarios := f.scenarios()
	var all sync.WaitGroup
	for _, s := range scenarios {
		all.Go(s.run)
	}
	all.Wait()
	var tables bytes.Buffer
	moves := 0
	for _, s := range scenarios {
		s.write(&tables)
		for _, r := range s.rows {
			moves += r.moves
		}
	}
	fmt.Fprintf(log, "herd: %s moves of clients in %v\n", thousands(moves), time.Since(begin).Round(100*time.Millisecond))

	if _, err := out.Write(tables.Bytes()); err != nil {
		return err
	}
	if *results != "" {
		if err := replace(*results, tables.Bytes()); err != nil {
			return err
		}
	}
	if *picture != "" {
		return scenarios[plotted].picture(*picture)
	}
	return nil
}
