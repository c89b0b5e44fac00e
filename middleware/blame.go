package middleware

import (
	"bytes"
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
)

const (
	nameAfter     = 5 * time.Second // of a drain, the responses that it waits for are named
	lateAfter     = time.Second     // after its cancel, a response is late
	maxLooks      = 4               // at the stacks of late handlers, in one drain
	mostLocated   = 4               // late handlers in each look
	maxGoroutines = 2_000           // the world stops for 15 µs per goroutine while stacks are taken
	maxStacks     = 4 << 20         // bytes
	maxStack      = 8 << 10         // bytes of one goroutine's
	maxGivenUp    = 16              // handlers that are located when the drain gives up
)

// A place is where a handler was seen that has not returned.
type place struct {
	state string // such as "chan receive"
	lines string // of the program
	stack string // of its goroutine
}

// String returns the state and the lines, or the empty string if the handler was not seen.
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

// tick logs, every second of a drain, how far it has come. Once it takes long it says whom it waits
// for, and where the handlers wait that have not returned though they were canceled.
func (s *scheduler) tick(now time.Time) {
	d, dr := s.d, s.drain
	open := d.registry.Open()
	if d.Logger != nil {
		attrs := append(tally(open).attrs(), "left", dr.end.Sub(now).Round(time.Millisecond))
		if dr.plan != nil && now.Sub(dr.start) >= nameAfter {
			attrs = append(attrs, "waiting", d.summaryOf(open))
		}
		d.log(slog.LevelInfo, "draining", attrs...)
	}
	if dr.plan == nil {
		return
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
		late = longest(late, mostLocated)
		dr.located = append(dr.located, late...)
		s.workers.apart(func() { d.locate(dr, late) })
	}
}

// summaryOf names the responses that hold up the drain the longest.
func (d *Drainer) summaryOf(open []*tracked.Response) string {
	infos := make([]ResponseInfo, len(open)) // of which those that are not named are only counted
	for i, r := range longest(open, mostWaiting) {
		infos[i] = d.info(r, d.placeSeen(r))
	}
	return summary(infos, mostWaiting)
}

// locate looks where the handlers of late responses wait, for the report, and logs it.
func (d *Drainer) locate(dr *drain, late []*tracked.Response) {
	stacks := takeStacks()
	for _, r := range late {
		p := placeOf(stacks, r)
		if p.lines == "" {
			continue
		}
		dr.saw(d, r, p)
		i := d.info(r, p)
		d.log(slog.LevelWarn, "a handler has not returned since its context was canceled",
			append([]any{"route", i.Route, "age", i.Age}, p.attrs()...)...)
	}
}

// saw notes where a response's handler was seen.
func (dr *drain) saw(d *Drainer, r *tracked.Response, p place) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if dr.where == nil {
		dr.where = make(map[*tracked.Response]place)
	}
	dr.where[r] = p
}

// placeSeen returns where a response's handler was seen.
func (d *Drainer) placeSeen(r *tracked.Response) place {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current == nil {
		return place{}
	}
	return d.current.where[r]
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

// placeOf returns where the handler of a response is, the zero place if no goroutine is in it. The
// method run that calls the handler has the response's address as its first argument.
func placeOf(stacks []byte, r *tracked.Response) (p place) {
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
		p.stack = strings.TrimSpace(string(stack[:start]))
		head, frames, _ := strings.Cut(p.stack, "\n") // goroutine 7 [chan receive, 2 minutes]:
		_, p.state, _ = strings.Cut(head, "[")
		p.state, _, _ = strings.Cut(strings.TrimSuffix(p.state, "]:"), ",")
		p.lines = programLines(strings.Split(frames, "\n"))
		p.stack = p.stack[:min(len(p.stack), maxStack)]
		return p
	}
	return place{}
}

// programLines returns the innermost lines of a stack that are the program's: not the standard
// library's or ours, except for the handlers of tests. If none is, it returns the innermost line
// where something waits. A frame has two lines, its function and its place:
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
		case isOurs(function) && !strings.Contains(place, "_test.go:"):
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
