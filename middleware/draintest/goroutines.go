package draintest

import (
	"bytes"
	"context"
	"fmt"
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

// A label is a server's.
type label string

var lastLabel atomic.Int64

func newLabel() label { return label(strconv.FormatInt(lastLabel.Add(1), 10)) }

// context returns one with the label, for who gives his goroutines labels by their request's.
func (l label) context() context.Context {
	return pprof.WithLabels(context.Background(), pprof.Labels(serverLabel, string(l)))
}

// do calls f with the label.
func (l label) do(f func()) {
	pprof.Do(context.Background(), pprof.Labels(serverLabel, string(l)), func(context.Context) { f() })
}

// A goroutine is one, or several that are in the same place.
type goroutine struct {
	n     int
	call  int    // whose handler has started it; zero: none
	state string // what it waits for, with %s for where
	at    string // where
}

// String says what it does: "it waits in chat.(*hub).run (hub.go:21) for a lock".
func (g goroutine) String() string {
	what := fmt.Sprintf(g.state, g.at)
	if g.n > 1 {
		return fmt.Sprintf("%d of them, each %s", g.n, what)
	}
	return "it " + what
}

// goroutines returns those that have the label.
func (l label) goroutines() (all []goroutine) {
	mark := []byte(`"` + serverLabel + `":"` + string(l) + `"`)
	for record := range bytes.SplitSeq(goroutineProfile(), []byte("\n\n")) {
		if head, labels, ok := bytes.Cut(record, []byte("\n# labels: ")); ok && bytes.Contains(labels, mark) {
			all = append(all, parseGoroutine(string(head), string(labels)))
		}
	}
	return all
}

// left returns those that have the label still when the time is up. Those that don't wait for anything
// have ten times as long: on a busy machine they are about to end.
func (l label) left(wait time.Duration) (all []goroutine) {
	began, pause := time.Now(), time.Millisecond
	for all = l.goroutines(); len(all) > 0; all = l.goroutines() {
		since := time.Since(began)
		busy := slices.ContainsFunc(all, func(g goroutine) bool { return g.state == running })
		if since >= wait && !busy || since >= 10*wait {
			break
		}
		time.Sleep(pause)
		pause = min(2*pause, 100*time.Millisecond)
	}
	return all
}

// parseGoroutine reads a record of the profile's text form, as runtime/pprof writes it: the number
// of goroutines and the program counters of their stack, and the labels.
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
	frames := runtime.CallersFrames(stack)
	var lines []string
	innermost := ""
	for more := len(stack) > 0; more && len(lines) < mostLines; {
		var f runtime.Frame
		f, more = frames.Next()
		if g.state == "" {
			g.state = waits[f.Function]
		}
		if strings.HasPrefix(f.Function, library+"/internal/memnet.") {
			g.state = waits[pollWait]
		}
		line := lineOf(f)
		switch {
		case ofProgram(f):
			lines = append(lines, line)
		case innermost == "" && !strings.HasPrefix(f.Function, "runtime."):
			innermost = line
		}
	}
	if g.at = strings.Join(lines, " < "); g.at == "" {
		g.at = innermost
	}
	if g.state == "" {
		g.state = running
	}
	return g
}

// mostLines is how many lines of a stack are named, the innermost first.
const mostLines = 4

// waits says what a goroutine waits for, and where, by the function that it is in.
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
	running  = "runs in %s"
)

// ofProgram reports whether a function is the program's, and not the standard library's or ours.
func ofProgram(f runtime.Frame) bool {
	for _, ours := range []string{"/middleware.", "/middleware/draintest.", "/internal/"} {
		if strings.HasPrefix(f.Function, library+ours) && !strings.HasSuffix(f.File, "_test.go") {
			return false
		}
	}
	return !strings.HasPrefix(f.File, standardRoot) || strings.Contains(f.Function[:strings.IndexByte(f.Function+"/", '/')], ".") && standardRoot == ""
}

// library is the path of our own module, and standardRoot the directory of the standard library's
// sources as the program's symbols name it: empty with -trimpath.
var library, standardRoot = func() (string, string) {
	own := runtime.FuncForPC(reflect.ValueOf(newLabel).Pointer())
	standard, _ := runtime.FuncForPC(reflect.ValueOf(pprof.Do).Pointer()).FileLine(0)
	return strings.TrimSuffix(own.Name(), "/middleware/draintest.newLabel"), strings.TrimSuffix(standard, "runtime/pprof/runtime.go")
}()

// profiles counts the calls of goroutineProfile, of which those share a profile that wait for one
// at the same time: hundreds of tests may end at once, and each profile visits all goroutines.
var profiles struct {
	asked atomic.Int64
	mu    sync.Mutex // guards following; held while a profile is taken
	text  []byte
	upTo  int64 // the calls up to this one came before it was taken
}

// goroutineProfile returns a profile of all goroutines that was taken since the call.
func goroutineProfile() []byte {
	call := profiles.asked.Add(1)
	profiles.mu.Lock()
	defer profiles.mu.Unlock()
	if profiles.upTo < call {
		profiles.upTo = profiles.asked.Load()
		var b bytes.Buffer
		_ = pprof.Lookup("goroutine").WriteTo(&b, 1) // a buffer takes all
		profiles.text = b.Bytes()
	}
	return profiles.text
}
