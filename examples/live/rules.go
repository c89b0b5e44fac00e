package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

// rules returns the rule of each route with streams. All others have the zero rule: what is finite
// may go on for as long as the budget lasts.
func rules() *policy.Mux {
	var m policy.Mux
	m.Handle("/ws", policy.Rule{
		Kind:      policy.Infinite,
		Spread:    time.Second,
		Timeout:   2 * time.Second,
		Reconnect: policy.Window{Min: time.Second, Max: 5 * time.Second},
		Farewell: policy.Farewell{
			Reason:  "restarting; retry={retry}",
			Message: `{"type":"bye","retry":{retry}}`,
		},
	})
	m.Handle("/events", policy.Rule{
		Kind:      policy.Infinite,
		Spread:    time.Second,
		Timeout:   policy.AtOnce, // nothing comes after a dashboard's final event
		Reconnect: policy.Window{Min: time.Second, Max: 5 * time.Second},
	})
	return &m
}

// printRules prints each route's rule, and where each part of it comes from.
func printRules(w io.Writer, p policy.Policy, b policy.Budget) {
	b = b.WithDefaults()
	fmt.Fprintf(w, "budget %v: announce %v, responses %v, reserve %v\n\n",
		b.Total, b.Announce, b.Total-b.Announce-b.Reserve, b.Reserve)
	fmt.Fprint(w, policy.Explain(p))
}

// load reads the rules from the file, and of its budget what no flag has given.
func (c *config) load(given map[string]bool) error {
	f, table, err := readPolicy(c.policy)
	if err != nil {
		return err
	}
	if !given["budget"] {
		c.budget = cmp.Or(f.Budget.Total, c.budget)
	}
	if !given["announce"] {
		c.announce = f.Budget.Announce
	}
	c.reserve = f.Budget.Reserve
	c.table = table
	return nil
}

func readPolicy(name string) (*policy.File, *policy.Mux, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, nil, fmt.Errorf("can't read -policy: %w", err)
	}
	defer in.Close()
	f, err := policy.Read(in, name)
	if err != nil {
		return nil, nil, err
	}
	table, err := f.Mux()
	return f, table, err
}

// reread reads the file with the policy again on each SIGHUP, until stop is called. Rules that are
// invalid, or don't fit the budget, change nothing. The budget stays as it was at the start.
func reread(name string, rules *policy.Swap, b policy.Budget, log *slog.Logger) (stop func()) {
	hangups, over, stopped := make(chan os.Signal, 1), make(chan struct{}), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		defer close(stopped)
		for {
			select {
			case <-hangups:
			case <-over:
				return
			}
			f, table, err := readPolicy(name)
			if err == nil {
				err = rules.Store(table, b)
			}
			if err != nil {
				log.Error("policy stays as it was", "file", name, "error", oneLine(err.Error()))
				continue
			}
			log.Info("policy read again", "file", name, "routes", len(f.Routes))
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(over)
		<-stopped
	}
}
