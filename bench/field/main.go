// Command field judges how the servers of the field end, each with bench/drill, and writes
// docs/scoreboard.md:
//
//	go run ./bench/field                 # all of them, in about seven minutes
//	go run ./bench/field -only gin,echo  # prints what the judge says of these
//
// It is run in the repository's root, on Debian with Go and Node, and installs or builds in pinned
// versions what else is needed. Each contestant is written as its documentation has it, serves the
// same routes, and has 10 s to stop wherever it has a limit to set; the judge sends SIGKILL after
// 15 s. Its exit status is 1 if one couldn't be judged.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// What the judge is told, for all.
const (
	budget = 10 * time.Second // in the contestants' files
	limit  = 15 * time.Second
	look   = 8 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "field:", err)
		os.Exit(1)
	}
}

// A field is one run.
type field struct {
	all    []contestant
	port   int // the first one that it uses
	atOnce int
	bin    string // the folder with what has been built
	log    io.Writer
}

func run(ctx context.Context, args []string, out, log io.Writer) error {
	f := &field{all: contestants, log: log}
	flags := flag.NewFlagSet("field", flag.ContinueOnError)
	flags.SetOutput(log)
	only := flags.String("only", "", "the `names` of those to judge, with commas between them; nothing is written")
	page := flags.String("page", "docs/scoreboard.md", "the `file` to write")
	flags.IntVar(&f.port, "port", 18700, "the first of the `ports` to use on 127.0.0.1, two for each contestant")
	flags.IntVar(&f.atOnce, "at-once", 3, "how `many` are judged at once; they mostly wait")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *only != "" {
		f.all = nil
		for name := range strings.SplitSeq(*only, ",") {
			i := slices.IndexFunc(contestants, func(c contestant) bool { return c.name == name })
			if i < 0 {
				return fmt.Errorf("-only has %q: use names of %s", name, names(contestants))
			}
			f.all = append(f.all, contestants[i])
		}
	}
	var err error
	if f.bin, err = os.MkdirTemp("", "field"); err != nil {
		return err
	}
	defer os.RemoveAll(f.bin)
	if err := f.prepare(ctx); err != nil {
		return err
	}
	format := "json"
	if *only != "" {
		format = "text"
	}
	began := time.Now()
	results := f.judge(ctx, format)
	if *only != "" {
		for _, r := range results {
			fmt.Fprintln(out, r.said)
		}
		return failures(results)
	}
	if err := failures(results); err != nil {
		return err
	}
	versions := &versions{ctx: ctx, bin: f.bin}
	text, err := scoreboard(began, results, versions.of)
	if err != nil {
		return err
	}
	return os.WriteFile(*page, text, 0o644)
}

func names(all []contestant) string {
	var list []string
	for _, c := range all {
		list = append(list, c.name)
	}
	return strings.Join(list, ", ")
}

// A result is what the judge has said of a contestant.
type result struct {
	contestant
	said string // as it was printed
	err  error
	score
}

// A score is the judge's JSON, as far as it is shown.
type score struct {
	Routes []struct{ Route, Kind string }
	Rules  []struct {
		Rule, Title    string
		Checks, Failed int
	}
	Cases []struct {
		Name   string
		Took   time.Duration `json:"took_ns"`
		Status int
		Killed bool
	}
	Findings []struct {
		Rule, Route, Case, Text string
		Times                   int
	}
}

// known returns an error if the judge has taken a route for something else than it is. On a machine
// with no time left an answer can take as long as that.
func (s score) known() error {
	for _, r := range s.Routes {
		want := "answer"
		switch {
		case strings.HasPrefix(r.Route, "GET /ws"):
			want = "WebSocket"
		case strings.HasPrefix(r.Route, "GET /events"):
			want = "event stream"
		}
		if r.Kind != want {
			return fmt.Errorf("the judge took %s for a %s: is the machine too busy?", r.Route, r.Kind)
		}
	}
	return nil
}

func failures(results []result) error {
	var all []error
	for _, r := range results {
		if r.err != nil {
			all = append(all, fmt.Errorf("%s: %w", r.name, r.err))
		}
	}
	return errors.Join(all...)
}

// judge judges all, several at once.
func (f *field) judge(ctx context.Context, format string) []result {
	results := make([]result, len(f.all))
	places := make(chan struct{}, max(1, f.atOnce))
	var wait sync.WaitGroup
	for i, c := range f.all {
		wait.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			began := time.Now()
			r := result{contestant: c}
			r.said, r.err = f.judgeOne(ctx, c, f.port+2*i, format)
			if r.err == nil && format == "json" {
				if r.err = json.Unmarshal([]byte(r.said), &r.score); r.err == nil {
					r.err = r.known()
				}
			}
			fmt.Fprintf(f.log, "field: %s took %v\n", c.name, time.Since(began).Round(time.Second))
			results[i] = r
		})
	}
	wait.Wait()
	return results
}

// judgeOne runs the judge on a contestant and returns what it prints.
func (f *field) judgeOne(ctx context.Context, c contestant, port int, format string) (string, error) {
	dir := filepath.Join(f.bin, "work", c.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	here, err := filepath.Abs("bench/field")
	if err != nil {
		return "", err
	}
	values := map[string]string{
		"BIN": f.bin, "DIR": dir, "FIELD": here, "PORT": fmt.Sprint(port), "BACKEND": fmt.Sprint(port + 1),
	}
	fill := func(text string) string {
		for name, value := range values {
			text = strings.ReplaceAll(text, "${"+name+"}", value)
		}
		return text
	}
	if c.fills != "" {
		text, err := os.ReadFile(filepath.Join(here, c.fills))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "config"), []byte(fill(string(text))), 0o600)
		}
		if err != nil {
			return "", err
		}
	}
	if c.proxy {
		backend := exec.CommandContext(ctx, filepath.Join(f.bin, "backend"), fmt.Sprintf("127.0.0.1:%d", port+1))
		if err := backend.Start(); err != nil {
			return "", err
		}
		defer func() {
			_ = backend.Process.Kill()
			_ = backend.Wait() // it has been killed
		}()
		if err := listens(ctx, port+1); err != nil {
			return "", err
		}
	}
	args := append(c.judgeArgs(), "-format", format, "-url", fmt.Sprintf("http://127.0.0.1:%d", port), "--")
	for _, word := range c.command {
		args = append(args, fill(word))
	}
	cmd := exec.CommandContext(ctx, filepath.Join(f.bin, "drill"), args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it ends the server then
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir, "PYTHONDONTWRITEBYTECODE=1")
	for name, value := range values {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err = cmd.Run()
	if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 1 {
		err = nil // it has judged that rules are broken
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(log.String()))
	}
	return out.String(), err
}

// judgeArgs are the judge's flags for it, but for the URL.
func (c contestant) judgeArgs() []string {
	args := []string{"-limit", limit.String(), "-look", look.String()}
	if c.signal != "" && c.signal != "TERM" {
		args = append(args, "-signal", c.signal)
	}
	routes := c.routes
	if routes == nil {
		routes = theRoutes
	}
	if c.proxy {
		routes = append(slices.Clip(routes), "/ws/slow")
	}
	for _, r := range routes {
		args = append(args, "-route", r)
	}
	return args
}

// listens waits until something does.
func listens(ctx context.Context, port int) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return c.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if time.Since(began) > 10*time.Second {
			return fmt.Errorf("the back end doesn't listen: %w", err)
		}
	}
}
