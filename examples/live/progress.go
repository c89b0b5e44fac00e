package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	progressTick  = 100 * time.Millisecond
	progressWidth = 16 // of the bar, in columns
	usualColumns  = 80 // of a terminal that doesn't say
)

// A screen is where log lines go and, on a terminal, one live line that stays below them. Its lock
// is held while it writes, so that lines don't mix.
type screen struct {
	out     io.Writer
	live    bool       // it can show a live line
	columns func() int // how wide it is now; nil: as usual

	mu   sync.Mutex // guards line, and writing
	line string
}

// isTerminal reports whether f is likely a terminal that can erase a line.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

const eraseLine = "\r\x1b[K"

// Write writes whole log lines. On a terminal it writes over the live line, or over the ^C that the
// terminal shows where Ctrl-C was pressed, and then writes the live line again.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.live {
		return s.out.Write(p)
	}
	if _, err := fmt.Fprintf(s.out, "%s%s%s", eraseLine, p, s.line); err != nil {
		return 0, err
	}
	return len(p), nil
}

// newLog returns a log for s. On a terminal its lines are short: the time of day, no level INFO, no
// nanoseconds, and no cause of a drain, which the report has at the end.
func newLog(s *screen) *slog.Logger {
	if !s.live {
		return slog.New(slog.NewTextHandler(s, nil))
	}
	return slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch {
		case a.Key == slog.TimeKey:
			a.Value = slog.StringValue(a.Value.Time().Format("15:04:05.000"))
		case a.Key == slog.LevelKey && a.Value.Any() == slog.LevelInfo, a.Key == "cause":
			return slog.Attr{}
		case a.Value.Kind() == slog.KindDuration:
			a.Value = slog.DurationValue(a.Value.Duration().Round(time.Millisecond))
		}
		return a
	}}))
}

// width returns how many columns the live line may take. The last one stays free, since some
// terminals go on to the next row when it is filled.
func (s *screen) width() int {
	columns := 0
	if s.columns != nil {
		columns = s.columns()
	}
	return cmp.Or(columns, usualColumns) - 1
}

// show replaces the live line; an empty one removes it. A line that took two rows would stay in one
// of them.
func (s *screen) show(line string) {
	if runes, width := []rune(line), s.width(); len(runes) > width {
		line = string(runes[:width])
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live && line != s.line {
		s.line = line
		_, _ = io.WriteString(s.out, eraseLine+line)
	}
}

// showProgress shows each drain while it goes on, until ctx ends. draining returns a channel that
// is closed when the next drain begins.
func showProgress(ctx context.Context, draining func() <-chan struct{}, now func() status, s *screen) {
	defer s.show("")
	for ctx.Err() == nil {
		select {
		case <-draining():
			showDrain(ctx, now, s)
		case <-ctx.Done():
		}
	}
}

// showDrain shows one drain until ctx ends or it is taken back.
func showDrain(ctx context.Context, now func() status, s *screen) {
	defer s.show("")
	tick := time.NewTicker(progressTick)
	defer tick.Stop()
	for {
		current := now()
		if current.Phase == "serving" {
			return
		}
		s.show(progressLine(current, s.width()))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// progressLine draws a drain: phase, bar, what is open, time left. What is open is told by kind
// where there are columns for it. It fits into 79, and into 39 in short.
func progressLine(s status, columns int) string {
	found, open := s.Found.all(), s.Open.all()
	width, short := progressWidth, columns < usualColumns-1
	if short {
		width = 5
	}
	full := width
	if found > 0 {
		full = width * max(0, found-open) / found
	}
	bar := strings.Repeat("█", full) + strings.Repeat("░", width-full)
	left := (time.Duration(s.Left) * time.Millisecond).Seconds()
	switch {
	case s.Phase == "done" && !s.Final && short:
		return fmt.Sprintf("%-10s %s drained", s.Phase, bar)
	case s.Phase == "done" && !s.Final:
		return fmt.Sprintf("%-10s %s drained; requests are refused until Resume", s.Phase, bar)
	case short:
		return fmt.Sprintf("%-10s %s %d open  %.0fs left", s.Phase, bar, open, left)
	}
	return fmt.Sprintf("%-10s %s %d open: finite %d, sse %d, ws %d  %.1fs left",
		s.Phase, bar, open, s.Open.Finite, s.Open.SSE, s.Open.WebSocket+s.Open.Other, left)
}
