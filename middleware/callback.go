package middleware

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
)

// log logs a line. The Logger's handler may run on a goroutine of ours, where a panic of it would
// end the process; in a handler's, it would end the handler.
func (d *Drainer) log(level slog.Level, msg string, args ...any) {
	if d.Logger == nil {
		return
	}
	defer func() {
		if v := recover(); v != nil {
			// Not through package log, which may lead to the same handler.
			d.badLogger.Do(func() { fmt.Fprintf(os.Stderr, "middleware: the Drainer's Logger panicked: %v\n", v) })
		}
	}()
	d.Logger.Log(context.Background(), level, msg, args...)
}

// guard calls f on a goroutine of ours, and logs a panic in what f calls of the program's: its
// connections, listeners and writers.
func (d *Drainer) guard(what string, f func()) {
	defer func() {
		if v := recover(); v != nil {
			d.log(slog.LevelError, "a panic is caught, and the drain goes on", "in", what, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	f()
}
