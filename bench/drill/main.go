// Command drill judges from outside how a server ends: any server, in any language.
//
//	go run ./bench/drill -route /events -route '/ws' -- ./server -addr 127.0.0.1:8080
//
// It starts the server, opens clients on the routes that it is given, sends SIGTERM, and judges
// what the clients see and how the process ends; then again, at the next moment. What it prints
// names the rules of docs/drill-rules.md. Its exit status is 0 if none is broken, 1 if one is, and
// 2 if it can't judge.
//
// With -pid it judges a server that runs already, at one moment, and can't see its exit status.
//
// Every wait has a limit, and what the server sends is made printable before it is reported:
// docs/drill.md has both.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lastcall-go/lastcall/internal/request"
)

const (
	exitOK = iota
	exitBroken
	exitCannotJudge
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// A config is what the flags say.
type config struct {
	url         url.URL // has a scheme and a host alone
	urlGiven    bool
	insecure    bool
	http2       bool
	pid         int
	routes      []string
	file        string
	signal      string // without SIG
	clients     int
	startWithin time.Duration
	limit       time.Duration
	lookFor     time.Duration
	format      string
	verbose     bool
	command     []string
}

func parse(args []string, out io.Writer) (cfg config, err error) {
	flags := flag.NewFlagSet("drill", flag.ContinueOnError)
	flags.SetOutput(out)
	base := flags.String("url", "http://127.0.0.1:8080", "the server's `URL`")
	flags.BoolVar(&cfg.insecure, "insecure", false, "take any certificate for the server's, such as one that it has signed itself")
	flags.BoolVar(&cfg.http2, "http2", false, "speak HTTP/2 (over http:// without TLS, from the first byte), except for WebSockets")
	flags.IntVar(&cfg.pid, "pid", 0, "the process `id` of a server that runs, in place of a command")
	flags.Func("route", "a `request` to open: a method and a path, header fields on lines of their own, the body after an empty line; repeat it for each", func(s string) error {
		cfg.routes = append(cfg.routes, s)
		return nil
	})
	flags.StringVar(&cfg.file, "routes", "", "a `file` with requests, separated by lines that begin with ###")
	flags.StringVar(&cfg.signal, "signal", "TERM", "the `name` of the signal that asks the server to end, such as QUIT for nginx")
	flags.IntVar(&cfg.clients, "clients", 4, "how many clients each route has")
	flags.DurationVar(&cfg.startWithin, "start", 20*time.Second, "how long the server has until it listens")
	flags.DurationVar(&cfg.limit, "limit", 30*time.Second, "how long the process has from the signal to its end, before SIGKILL")
	flags.DurationVar(&cfg.lookFor, "look", 8*time.Second, "how long a route is looked at to tell whether it ends by itself")
	flags.StringVar(&cfg.format, "format", "text", "`format` of the report: text, json, markdown or junit")
	flags.BoolVar(&cfg.verbose, "v", false, "pass on what the server writes, to stderr")
	if err := flags.Parse(args); err != nil {
		return cfg, err
	}
	cfg.command = flags.Args()
	flags.Visit(func(f *flag.Flag) { cfg.urlGiven = cfg.urlGiven || f.Name == "url" })
	u, err := url.Parse(*base)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/")+u.RawQuery+u.Fragment != "" || u.User != nil:
		return cfg, fmt.Errorf("-url is %q: use one such as http://127.0.0.1:8080, without a path", *base)
	case cfg.pid < 0:
		return cfg, fmt.Errorf("-pid is %d: use the id of one process", cfg.pid)
	case (cfg.pid == 0) == (len(cfg.command) == 0):
		return cfg, errors.New("give either a command after --, or the -pid of a server that runs")
	case cfg.clients < 1 || cfg.clients > 1000:
		return cfg, fmt.Errorf("-clients is %d: use 1 to 1000", cfg.clients)
	case len(signals) == 0:
		return cfg, errors.New("this system has no signal that asks a process to end, such as SIGTERM")
	case signals[cfg.signal] == nil:
		return cfg, fmt.Errorf("-signal is %q: use %s", cfg.signal, strings.Join(slices.Sorted(maps.Keys(signals)), ", "))
	case reports[cfg.format] == nil:
		return cfg, fmt.Errorf("-format is %q: use text, json, markdown or junit", cfg.format)
	}
	cfg.url = url.URL{Scheme: u.Scheme, Host: u.Host}
	return cfg, nil
}

// requests returns what the flags and the file name.
func (cfg config) requests() (all []request.Request, err error) {
	texts := cfg.routes
	if cfg.file != "" {
		content, err := os.ReadFile(cfg.file)
		if err != nil {
			return nil, err
		}
		text := ""
		for line := range strings.Lines(string(content) + "\n###\n") {
			if !strings.HasPrefix(line, "###") {
				text += line
				continue
			}
			if text = strings.TrimSpace(text); text != "" {
				texts = append(texts, text)
			}
			text = ""
		}
	}
	if len(texts) == 0 {
		return nil, errors.New("there is no route to open; give one, such as -route /events")
	}
	for _, text := range texts {
		r, err := request.Parse(text)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

func run(ctx context.Context, args []string, out, log io.Writer) int {
	cfg, err := parse(args, log)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	var requests []request.Request
	if err == nil {
		requests, err = cfg.requests()
	}
	var j *judge
	if err == nil {
		j = &judge{ctx: ctx, config: cfg, log: log, score: newScore(cfg)}
		err = j.run(requests)
		j.score.took = time.Since(j.score.began)
	}
	if err != nil {
		fmt.Fprintf(log, "drill: %s\n", printable(err.Error()))
		return exitCannotJudge
	}
	if err := reports[cfg.format](j.score, out); err != nil {
		fmt.Fprintf(log, "drill: %v\n", err)
		return exitCannotJudge
	}
	if j.score.broken() {
		return exitBroken
	}
	return exitOK
}
