// Command live is a chat, a dashboard, an answer that types itself and a download, on one server
// that ends them all in order when it is told to stop.
//
//	go run ./examples/live                      # then open http://localhost:8080 and press Ctrl-C
//	go run ./examples/live -demo -clients 200   # with clients of its own: prints what they saw
//	go run ./examples/live -demo -bare          # the same without lastcall, for contrast
//	go run ./examples/live -rules               # prints which rule each route has, and why
//	go run ./examples/live -policy drain.json   # rules and budget from a file, read again on SIGHUP
//
// The page shows the drain while it goes on: what its own streams are told and when they come back,
// what becomes of 200 more clients, and the status page for operators, which is also at /drain. It
// has buttons for what can be done while the server runs: tell half of the streams to come back,
// drain, and take the drain back.
//
// Its exit status is 0 where nothing was cut, 1 where something was, and 2 for bad flags or an
// address in use.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

const (
	exitOK    = 0
	exitCut   = 1
	exitUsage = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main with its surroundings as arguments. It returns the exit status.
func run(args []string, stdout io.Writer, stderr *os.File) int {
	screen := &screen{out: stderr, live: isTerminal(stderr), columns: func() int { return columnsOf(stderr) }}
	fail := func(status int, err error) int {
		fmt.Fprintln(screen, "live:", oneLine(err.Error()))
		return status
	}

	cfg, err := parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		return fail(exitUsage, fmt.Errorf("%w (see -h)", err))
	}
	log := newLog(screen)
	life, err := newLifecycle(cfg, log, screen)
	if err != nil {
		return fail(exitUsage, err)
	}
	if g, ok := life.(*graceful); ok && cfg.rules {
		printRules(stdout, g.drainer.Policy, g.drainer.Budget)
		return exitOK
	}
	parent, stop := context.WithCancel(context.Background())
	defer stop()
	ctx, ignore := life.notify(parent) // before anybody who finds the port open can send a signal
	defer ignore()
	announced := make(chan struct{}) // closed when the function below has returned
	stopAnnouncing := context.AfterFunc(ctx, func() {
		defer close(announced)
		if parent.Err() == nil { // so it was a signal
			fmt.Fprintf(screen, "live: stopping; press Ctrl-C again to %s\n", life.secondSignal())
		}
	})
	defer stopAnnouncing() // before ignore, which ends ctx
	ln, err := listen(cfg.addr)
	if err != nil {
		return fail(exitUsage, err)
	}

	var results []result
	if cfg.demo {
		results, err = demonstrate(ctx, stop, ln, cfg, life, log)
	} else {
		fmt.Fprintf(screen, "live: open %s, then press Ctrl-C\n", pageURL(ln.Addr()))
		err = serve(ctx, ln, life, log)
	}
	if !stopAnnouncing() {
		<-announced
	}
	sum := life.summary()
	if cfg.demo {
		printReport(stdout, sum)
		printResults(stdout, results)
	} else {
		fmt.Fprint(stdout, sum.text)
	}
	switch {
	case err != nil:
		return fail(exitCut, err)
	case sum.cut > 0:
		return fail(exitCut, fmt.Errorf("%d of %d responses were cut", sum.cut, sum.ended))
	}
	fmt.Fprintf(screen, "live: nothing was cut; all %d responses ended in order within %v\n",
		sum.ended, sum.took.Round(time.Millisecond))
	return exitOK
}

type config struct {
	addr             string
	budget, announce time.Duration
	demo, bare       bool
	rules            bool
	policy           string        // the file
	reserve          time.Duration // only a file has it
	table            *policy.Mux   // what the file says, else nil
	clients          int
}

// parse reads the flags, and the file with the policy if they name one. When help was asked for it
// writes it to usage and returns flag.ErrHelp.
func parse(args []string, usage io.Writer) (config, error) {
	var c config
	f := flag.NewFlagSet("live", flag.ContinueOnError)
	f.SetOutput(io.Discard) // its complaints take two lines and more
	f.StringVar(&c.addr, "addr", ":8080", "`address` to listen on; -demo uses a free port of the loopback instead")
	f.DurationVar(&c.budget, "budget", 25*time.Second, "`time` that the whole drain may take")
	f.DurationVar(&c.announce, "announce", 0, "`time` to be not ready but still serve, at the start of the drain")
	f.BoolVar(&c.demo, "demo", false, "connect clients, drain, and print what they saw")
	f.IntVar(&c.clients, "clients", 200, "how many clients -demo connects")
	f.BoolVar(&c.bare, "bare", false, "end with net/http's own Shutdown instead, for contrast")
	f.StringVar(&c.policy, "policy", "", "`file` with rules and a budget, see policy.File; -budget and -announce override it")
	f.BoolVar(&c.rules, "rules", false, "print which rule each route has and where it came from, and exit")

	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(usage, "Usage: live [flags]")
		f.SetOutput(usage)
		f.PrintDefaults()
	case err != nil:
	case f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q: everything is a flag", f.Arg(0))
	case c.budget <= 0:
		err = fmt.Errorf("-budget is %v: use a time over 0s", c.budget)
	case c.announce < 0:
		err = fmt.Errorf("-announce is %v: use 0s or more", c.announce)
	case c.bare && (c.rules || c.policy != ""):
		err = errors.New("-rules and -policy are about lastcall's drain, which -bare goes without: leave out -bare or them")
	case c.clients < 1:
		err = fmt.Errorf("-clients is %d: use 1 or more", c.clients)
	}
	if c.demo {
		c.addr = "127.0.0.1:0"
	}
	if err == nil && c.policy != "" {
		given := map[string]bool{}
		f.Visit(func(f *flag.Flag) { given[f.Name] = true })
		err = c.load(given)
	}
	return c, err
}

func listen(addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("address %s is in use: stop what listens there or choose another with -addr", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("can't listen on -addr %q: %w", addr, err)
	}
	return ln, nil
}

// oneLine joins the lines of an error that errors.Join made.
func oneLine(s string) string { return strings.ReplaceAll(s, "\n", "; ") }
