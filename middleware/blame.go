package middleware

import (
	"bytes"
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"path"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

const (
	nameAfter     = 5 * time.Second // of a drain, the responses that it waits for are named
	lateAfter     = time.Second     // after its cancel, a response is late
	maxLooks      = 4               // at the stacks of late handlers, in one drain
	maxGoroutines = 2_000           // the world stops for 15 µs per goroutine while stacks are taken
	maxStacks     = 4 << 20         // bytes
	maxLocated    = 16              // handlers whose lines are looked for when the drain gives up
)

// tick logs, every second of a drain, how far it has come. Once it takes long it says whom it waits
// for, and where the handlers wait that have not returned though they were canceled.
func (s *scheduler) tick(now time.Time) {
	dr := s.drain
	s.d.logProgress(dr.end.Sub(now))
	if s.d.Logger == nil || dr.plan == nil {
		return
	}
	open := s.d.registry.Open()
	if !dr.waitersNamed && now.Sub(dr.start) >= nameAfter && len(open) > 0 {
		dr.waitersNamed = true
		s.d.log(slog.LevelInfo, "still waiting for responses", "open", len(open), "responses", summary(longest(open)))
	}
	var late []*tracked.Response
	for _, r := range open {
		if !r.Canceled() || slices.Contains(dr.located, r) {
			continue
		}
		if m, _ := r.Moments(); now.Sub(m.Cancel) >= lateAfter {
			late = append(late, r)
		}
	}
	if len(late) > 0 && dr.looks < maxLooks && runtime.NumGoroutine() <= maxGoroutines {
		dr.looks++
		late = late[:min(len(late), mostNamed)]
		dr.located = append(dr.located, late...)
		s.workers.apart(func() { s.d.logLate(late) })
	}
}

// longest returns what is known of the responses, those first that hold up the drain: the finite
// ones, whose end is theirs, before streams, and the oldest of each.
func longest(open []*tracked.Response) []Aborted {
	type waiter struct {
		*tracked.Response
		stream bool
		age    time.Duration
	}
	waiters := make([]waiter, len(open))
	for i, r := range open {
		waiters[i] = waiter{r, r.Kind() == policy.Infinite, r.Age()}
	}
	slices.SortFunc(waiters, func(a, b waiter) int {
		if a.stream != b.stream {
			if a.stream {
				return 1
			}
			return -1
		}
		return cmp.Compare(b.age, a.age)
	})
	all := make([]Aborted, len(open))
	for i, w := range waiters[:min(mostNamed, len(waiters))] { // the others are only counted
		all[i] = newAborted(w.Response)
	}
	return all
}

// logLate logs where the handlers of late responses wait.
func (d *Drainer) logLate(late []*tracked.Response) {
	stacks := takeStacks()
	for _, r := range late {
		if state, line := handlerLine(stacks, r); line != "" {
			a := newAborted(r)
			d.log(slog.LevelWarn, "a handler has not returned since its context was canceled",
				"route", a.Route, "age", a.Age, "state", state, "at", line)
		}
	}
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

// handlerLine returns what the handler of a response is doing, such as "chan receive", and in which
// lines of the program. It returns empty strings where no goroutine is in the handler. The method
// run that calls the handler has the response's address as its first argument.
func handlerLine(stacks []byte, r *tracked.Response) (state, line string) {
	mark := []byte(fmt.Sprintf(").run(%p", r))
	for stack := range bytes.SplitSeq(stacks, []byte("\n\n")) {
		at := bytes.Index(stack, mark)
		if at < 0 || bytes.IndexByte([]byte(",)?"), stack[at+len(mark)]) < 0 {
			continue
		}
		start := bytes.LastIndexByte(stack[:at], '\n') + 1
		if !bytes.HasPrefix(stack[start:], []byte(ours)) {
			continue
		}
		head, frames, _ := strings.Cut(string(stack[:start]), "\n") // goroutine 7 [chan receive, 2 minutes]:
		_, state, _ = strings.Cut(head, "[")
		state, _, _ = strings.Cut(strings.TrimSuffix(state, "]:"), ",")
		return state, programLines(strings.Split(frames, "\n"))
	}
	return "", ""
}

// programLines returns the innermost lines of a stack that are the program's: not the standard
// library's or ours. If none is, it returns the innermost line where something waits. A frame has
// two lines, its function and its place:
//
//	main.query(0xc000012345, {0x0, 0x0})
//		/src/app/main.go:17 +0x1c
func programLines(frames []string) string {
	const most = 3
	var lines []string
	innermost := ""
	for i := 0; i+1 < len(frames) && len(lines) < most; i += 2 {
		function, place := frames[i], strings.TrimSpace(frames[i+1])
		function = function[:max(0, strings.LastIndexByte(function, '('))]
		place, _, _ = strings.Cut(place, " ")
		line := path.Base(function) + " (" + path.Base(place) + ")"
		switch rest, standard := strings.CutPrefix(place, standardRoot()); {
		case isOurs(function):
		case !standard || strings.Contains(rest[:max(0, strings.IndexByte(rest, '/'))], "."):
			lines = append(lines, line)
		case innermost == "" && !strings.HasPrefix(function, "runtime.") && !strings.HasPrefix(function, "sync.") && !strings.HasPrefix(function, "internal/"):
			innermost = line
		}
	}
	if len(lines) == 0 {
		return innermost
	}
	return strings.Join(lines, " < ")
}

func isOurs(function string) bool {
	rest, ok := strings.CutPrefix(function, ours)
	return ok && (strings.HasPrefix(rest, "middleware.") || strings.HasPrefix(rest, "internal/") || strings.HasPrefix(rest, "stream."))
}

// standardRoot returns the directory of the standard library's sources, as stacks name it: empty if
// the program was built with -trimpath.
func standardRoot() string {
	file, _ := runtime.FuncForPC(reflect.ValueOf(http.NotFound).Pointer()).FileLine(0)
	return strings.TrimSuffix(file, "net/http/server.go")
}
