package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/middleware"
)

const (
	progressTick  = 100 * time.Millisecond
	progressWidth = 16 // of the bar, in columns
)

// A screen is where log lines go and, on a terminal, one live line that stays below them. Its lock is held while it
// writes: lines of one terminal must queue up somewhere.
type screen struct {
	out  io.Writer
	live bool // it can show a live line

	mu   sync.Mutex // guards following
	line string
}

// isTerminal tells whether f is likely a terminal that can erase a line.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

const eraseLine = "\r\x1b[K"

// Write writes whole log lines, above the live line if there is one.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line == "" {
		return s.out.Write(p)
	}
	if _, err := fmt.Fprintf(s.out, "%s%s%s", eraseLine, p, s.line); err != nil {
		return 0, err
	}
	return len(p), nil
}

// show replaces the live line; an empty one takes it away.
func (s *screen) show(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live && line != s.line {
		s.line = line
		_, _ = io.WriteString(s.out, eraseLine+line)
	}
}

// showProgress shows the drain while it goes on, until ctx ends.
func showProgress(ctx context.Context, d *middleware.Drainer, s *screen) {
	select {
	case <-d.Draining():
	case <-ctx.Done():
		return
	}
	defer s.show("")
	tick := time.NewTicker(progressTick)
	defer tick.Stop()
	for {
		r := d.Report()
		s.show(progressLine(r, d.Budget.WithDefaults().Total-time.Since(r.Began)))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// progressLine draws a drain: phase, bar, what is open by kind, time left. It fits into 80 columns.
func progressLine(r middleware.Report, left time.Duration) string {
	found, open := r.Found.All(), r.Open.All()
	full := progressWidth
	if found > 0 {
		full = progressWidth * max(0, found-open) / found
	}
	bar := strings.Repeat("█", full) + strings.Repeat("░", progressWidth-full)
	phase := r.Phase
	if phase == middleware.Cancelling && r.Open.Streams() == 0 {
		phase = middleware.Draining // those that are left are let finish
	}
	return fmt.Sprintf("%-10s %s %d open: finite %d, sse %d, ws %d  %.1fs left",
		phase, bar, open, r.Open.Finite, r.Open.SSE, r.Open.WebSocket+r.Open.Other, max(0, left).Seconds())
}
