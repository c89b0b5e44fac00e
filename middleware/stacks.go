package middleware

import (
	"bytes"
	"fmt"
	"net/http"
	"path"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"github.com/lastcall-go/lastcall/internal/tracked"
)

const (
	maxGivenUp    = 16      // handlers that are located when the drain gives up
	maxGoroutines = 2_000   // the world stops for 15 µs per goroutine while stacks are taken
	maxStacks     = 4 << 20 // bytes of all stacks together
	maxStack      = 8 << 10 // bytes of one goroutine's
)

// A place is where a handler is that has not returned. The zero place is unknown.
type place struct {
	state string // of its goroutine, such as "chan receive"
	lines string // of the program, the innermost first
	stack string // of its goroutine
}

// String returns the state and the lines, or the empty string if they are unknown.
func (p place) String() string {
	if p.lines == "" {
		return ""
	}
	return p.state + " at " + p.lines
}

// attrs returns the place for a line in the log.
func (p place) attrs() []any {
	if p.lines == "" {
		return nil
	}
	return []any{"state", p.state, "at", p.lines}
}

// takeStacks returns the stacks of all goroutines as text, or of as many as fit. It returns none
// where there are too many goroutines.
func takeStacks() []byte {
	n := runtime.NumGoroutine()
	if n > maxGoroutines {
		return nil
	}
	stacks := make([]byte, min(n*4<<10+64<<10, maxStacks))
	return stacks[:runtime.Stack(stacks, true)]
}

// ours is what the names of this library's functions begin with.
const ours = "github.com/lastcall-go/lastcall/"

// findHandler returns where the handler of a response is, the zero place if no goroutine is in it.
// What calls a handler, or a task's function, is a method run of ours whose first argument is the
// response's address.
func findHandler(stacks []byte, r *tracked.Response) place {
	call := []byte(fmt.Sprintf(").run(%p", r))
	for stack := range bytes.SplitSeq(stacks, []byte("\n\n")) {
		before, after, found := bytes.Cut(stack, call)
		if !found || !bytes.ContainsAny(after[:min(1, len(after))], ",)?") { // else the address goes on
			continue
		}
		start := bytes.LastIndexByte(before, '\n') + 1
		if !bytes.HasPrefix(before[start:], []byte(ours)) {
			continue
		}
		text := strings.TrimSpace(string(before[:start]))
		head, frames, _ := strings.Cut(text, "\n") // goroutine 7 [chan receive, 2 minutes]:
		_, state, _ := strings.Cut(head, "[")
		state, _, _ = strings.Cut(strings.TrimSuffix(state, "]:"), ",")
		return place{state, programLines(strings.Split(frames, "\n")), text[:min(len(text), maxStack)]}
	}
	return place{}
}

// programLines returns the innermost lines of a stack that are the program's: not the standard
// library's or ours, except for the handlers of tests. If none is, it returns the innermost line
// where something waits. A frame has two lines, its function and its file and line:
//
//	main.query(0xc000012345, {0x0, 0x0})
//		/src/app/main.go:17 +0x1c
func programLines(frames []string) string {
	const most = 3
	var lines []string
	innermost := ""
	for i := 0; i+1 < len(frames) && len(lines) < most; i += 2 {
		function := frames[i][:max(0, strings.LastIndexByte(frames[i], '('))]
		file, _, _ := strings.Cut(strings.TrimSpace(frames[i+1]), " ")
		line := path.Base(function) + " (" + path.Base(file) + ")"
		switch {
		case isOurs(function) && !strings.Contains(file, "_test.go:"):
		case !isStandard(file):
			lines = append(lines, line)
		case hasAnyPrefix(function, "runtime.", "sync.", "internal/"): // how it waits, not where
		case innermost == "":
			innermost = line
		}
	}
	if len(lines) == 0 {
		return innermost
	}
	return strings.Join(lines, " < ")
}

func isOurs(function string) bool {
	return hasAnyPrefix(function, ours+"middleware.", ours+"internal/", ours+"stream.")
}

// isStandard reports whether a file, as stacks name it, is one of the standard library's. In a
// program that was built with -trimpath those have no directory in front, and other modules' have a
// dot in their first element.
func isStandard(file string) bool {
	known, _ := runtime.FuncForPC(reflect.ValueOf(http.NotFound).Pointer()).FileLine(0)
	rest, standard := strings.CutPrefix(file, strings.TrimSuffix(known, "net/http/server.go"))
	return standard && !strings.Contains(rest[:max(0, strings.IndexByte(rest, '/'))], ".")
}

func hasAnyPrefix(s string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}
