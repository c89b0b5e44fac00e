package draintest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"path"
	"reflect"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The goroutines of a server have the pprof label serverLabel, which goroutines that they start
// inherit. Those of a call of its handler have callLabel as well.
const (
	serverLabel = "draintest"
	callLabel   = "draintest_call"
)

// A label is the value of serverLabel for one server.
type label string

var lastLabel atomic.Int64

func newLabel() label { return label(strconv.FormatInt(lastLabel.Add(1), 10)) }

// context returns a context with the label. Handlers that set labels do so by their request's
// context.
func (l label) context() context.Context {
	return pprof.WithLabels(context.Background(), pprof.Labels(serverLabel, string(l)))
}

// do calls f with the label.
func (l label) do(f func()) {
	pprof.Do(context.Background(), pprof.Labels(serverLabel, string(l)), func(context.Context) { f() })
}

// A goroutine is one, or several with the same stack and labels.
type goroutine struct {
	n     int    // how many
	call  int    // the number of the call that started it; zero: none did
	state string // what it waits for, with %s in place of at
	at    string // the lines where it is
}

// String says what it does: "it waits in chat.(*hub).run (hub.go:21) for a lock".
func (g goroutine) String() string {
	what := fmt.Sprintf(g.state, g.at)
	if g.n > 1 {
		return fmt.Sprintf("%d of them, each %s", g.n, what)
	}
	return "it " + what
}

// goroutines returns all that have the label.
func (l label) goroutines() (all []goroutine) {
	mark := []byte(`"` + serverLabel + `":"` + string(l) + `"`)
	for record := range bytes.SplitSeq(goroutineProfile(), []byte("\n\n")) {
		if head, labels, ok := bytes.Cut(record, []byte("\n# labels: ")); ok && bytes.Contains(labels, mark) {
			all = append(all, parseGoroutine(string(head), string(labels)))
		}
	}
	return all
}

// left returns the goroutines that still have the label when the time is up. While one of them
// waits for nothing, there is ten times as much: on a busy machine it is about to end.
func (l label) left(wait time.Duration) (all []goroutine) {
	began, pause := time.Now(), time.Millisecond
	for all = l.goroutines(); len(all) > 0; all = l.goroutines() {
		since := time.Since(began)
		busy := slices.ContainsFunc(all, func(g goroutine) bool { return g.state == runs })
		if since >= wait && !busy || since >= 10*wait {
			break
		}
		time.Sleep(pause)
		pause = min(2*pause, 100*time.Millisecond)
	}
	return all
}

// parseGoroutine reads a record of a goroutine profile, as runtime/pprof writes it as text: head
// has the number of goroutines and the program counters of their stack.
func parseGoroutine(head, labels string) (g goroutine) {
	n, counters, _ := strings.Cut(head[strings.LastIndexByte(head, '\n')+1:], " @ ")
	g.n, _ = strconv.Atoi(n)
	labels, _, _ = strings.Cut(labels, "\n")
	if _, rest, ok := strings.Cut(labels, `"`+callLabel+`":"`); ok {
		rest, _, _ = strings.Cut(rest, `"`)
		g.call, _ = strconv.Atoi(rest)
	}
	var stack []uintptr
	for field := range strings.FieldsSeq(counters) {
		pc, _ := strconv.ParseUint(strings.TrimPrefix(field, "0x"), 16, 64)
		stack = append(stack, uintptr(pc))
	}
	all := frames(stack)
	innermost := "" // the line that called into the runtime
	for _, f := range all {
		if g.state == "" {
			g.state = waits[f.Function]
		}
		if strings.HasPrefix(f.Function, library+"/internal/memnet.") {
			g.state = waits[pollWait]
		}
		if innermost == "" && !strings.HasPrefix(f.Function, "runtime.") {
			innermost = lineOf(f)
		}
	}
	g.at = cmp.Or(programLines(all), innermost)
	g.state = cmp.Or(g.state, runs)
	return g
}

// frames returns the frames of a stack, the innermost first.
func frames(stack []uintptr) (all []runtime.Frame) {
	rest := runtime.CallersFrames(stack)
	for more := len(stack) > 0; more; {
		var f runtime.Frame
		f, more = rest.Next()
		all = append(all, f)
	}
	return all
}

// mostLines is how many of the program's lines are named.
const mostLines = 4

// programLines returns the innermost lines of the program among frames.
func programLines(frames []runtime.Frame) string {
	var lines []string
	for _, f := range frames {
		if ofProgram(f) && len(lines) < mostLines {
			lines = append(lines, lineOf(f))
		}
	}
	return strings.Join(lines, " < ")
}

func lineOf(f runtime.Frame) string {
	return fmt.Sprintf("%s (%s:%d)", path.Base(f.Function), path.Base(f.File), f.Line)
}

// waits says what a goroutine waits for, by the runtime's function that it is in.
var waits = map[string]string{
	"runtime.chanrecv":                      "waits in %s to receive from a channel that nobody sends on or closes",
	"runtime.chansend":                      "waits in %s to send on a channel that nobody receives from",
	"runtime.selectgo":                      "waits in %s, in a select of which no case comes",
	"runtime.block":                         "waits in %s, in a select without cases",
	"time.Sleep":                            "sleeps in %s",
	"sync.runtime_SemacquireMutex":          "waits in %s for a lock",
	"internal/sync.runtime_SemacquireMutex": "waits in %s for a lock",
	"sync.runtime_SemacquireRWMutex":        "waits in %s for a lock",
	"sync.runtime_SemacquireRWMutexR":       "waits in %s for a lock",
	"sync.runtime_SemacquireWaitGroup":      "waits in %s for a sync.WaitGroup",
	"sync.runtime_notifyListWait":           "waits in %s for a sync.Cond",
	pollWait:                                "waits in %s for a peer",
}

const (
	pollWait = "internal/poll.runtime_pollWait"
	runs     = "runs in %s"
)

// ofProgram reports whether a function is the program's, and not the standard library's or ours.
func ofProgram(f runtime.Frame) bool {
	for _, ours := range []string{"/middleware.", "/middleware/draintest.", "/internal/"} {
		if strings.HasPrefix(f.Function, library+ours) && !strings.HasSuffix(f.File, "_test.go") {
			return false
		}
	}
	if standardRoot != "" {
		return !strings.HasPrefix(f.File, standardRoot)
	}
	// The first element of an import path has a dot, but in the standard library. In the last one,
	// the name of the function follows.
	first, _, ok := strings.Cut(f.Function, "/")
	if !ok {
		first, _, _ = strings.Cut(f.Function, ".")
	}
	return strings.Contains(first, ".")
}

// library is the path of lastcall's module, and standardRoot the directory of the standard
// library's sources as the program's symbols name it: empty with -trimpath.
var library, standardRoot = func() (string, string) {
	own := runtime.FuncForPC(reflect.ValueOf(newLabel).Pointer())
	standard, _ := runtime.FuncForPC(reflect.ValueOf(pprof.Do).Pointer()).FileLine(0)
	return strings.TrimSuffix(own.Name(), "/middleware/draintest.newLabel"), strings.TrimSuffix(standard, "runtime/pprof/runtime.go")
}()

// profiles has the newest profile of all goroutines. Callers that wait for one at the same time
// share it: hundreds of tests may end at once, and each profile visits all goroutines.
var profiles struct {
	calls atomic.Int64 // of goroutineProfile
	mu    sync.Mutex   // guards following; held while a profile is taken
	text  []byte
	upTo  int64 // the last call that came before it was taken
}

// goroutineProfile returns a profile that was taken since the call.
func goroutineProfile() []byte {
	call := profiles.calls.Add(1)
	profiles.mu.Lock()
	defer profiles.mu.Unlock()
	if profiles.upTo < call {
		profiles.upTo = profiles.calls.Load()
		var b bytes.Buffer
		_ = pprof.Lookup("goroutine").WriteTo(&b, 1) // a buffer takes all
		profiles.text = b.Bytes()
	}
	return profiles.text
}
