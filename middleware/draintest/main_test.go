package draintest

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// The shelf's faulty handlers leave goroutines for good, in bubbles that are over.
func TestMain(m *testing.M) {
	const shelf = "github.com/lastcall-go/lastcall/middleware/draintest."
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction(shelf+"waitsForNews"), goleak.IgnoreAnyFunction(shelf+"service.call"), goleak.IgnoreAnyFunction(shelf+"ginStream"),
		goleak.IgnoreAnyFunction(shelf+"(*hub).run"), goleak.IgnoreAnyFunction("github.com/r3labs/sse/v2.(*Subscriber).close"))
}

// A tb stands in for the test whose failing is tested.
type tb struct {
	testing.TB
	mu       sync.Mutex // guards following
	errors   []string
	cleanups []func()
}

func (t *tb) Errorf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.errors = append(t.errors, fmt.Sprintf(format, args...))
}

func (t *tb) Helper() {}

func (t *tb) Logf(string, ...any) {}

func (t *tb) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

// end calls what was given to Cleanup and returns what the test was failed with.
func (t *tb) end() string {
	for i := len(t.cleanups) - 1; i >= 0; i-- {
		t.cleanups[i]()
	}
	return strings.Join(t.errors, "\n")
}
