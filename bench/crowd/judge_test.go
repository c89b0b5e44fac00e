package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

// perfect returns the figures of a drain that went as planned.
func perfect(t *testing.T, args string) *figures {
	c, err := parse(strings.Fields(args), t.Output())
	require.NoError(t, err)
	d := c.newDrainer()
	f := &figures{config: c, limit: c.limit(d), began: time.Now(), took: c.spread}
	f.forEvents, f.forSockets = c.schedules(d)
	f.report.Told, f.report.Cut = uint64(c.streams-c.stuck), uint64(c.stuck)
	for i := range c.streams {
		route, k, socket := f.forEvents, i, i >= c.events()
		if socket {
			route, k = f.forSockets, i-c.events()
		}
		at := f.began.Add(route.dueAt(k))
		if i < c.stuck {
			f.results = append(f.results, result{Stuck: true, Ended: f.began.Add(f.took)})
			f.cuts = append(f.cuts, cut{at: at.Add(route.mercy), cancel: at})
			continue
		}
		retry := window.Slot(uint64(i))
		f.results = append(f.results, result{Socket: socket, Told: at, Ended: at.Add(time.Millisecond), Retry: retry})
	}
	return f
}

// An exceeded bound is an error that names it.
func TestJudge(t *testing.T) {
	const args = "-stuck 100"
	assert.NoError(t, broken(perfect(t, args).judge()))
	assert.NoError(t, broken(perfect(t, "-websockets 1").judge()))
	assert.NoError(t, broken(perfect(t, "-websockets 0 -streams 1").judge()))

	last := 9_999 // a WebSocket
	for name, spoil := range map[string]func(*figures){
		"accounted for":                 func(f *figures) { f.report.Told-- },
		"told, by the report":           func(f *figures) { f.report.Told--; f.report.Completed++ },
		"told, by the clients":          func(f *figures) { f.results[last].Told = time.Time{} },
		"unanswered":                    func(f *figures) { f.report.Unanswered++ },
		"cut":                           func(f *figures) { f.report.Cut++ },
		"errors":                        func(f *figures) { f.results[last].Fault = "torn" },
		"farewells in the worst 100 ms": func(f *figures) { f.delay(10*time.Second, 10200*time.Millisecond) },
		"told before it was due":        func(f *figures) { f.advance(10 * time.Millisecond) },
		"told after it was due":         func(f *figures) { f.delay(10*time.Second, 10501*time.Millisecond) },
		"from farewell to end":          func(f *figures) { f.results[last].Ended = f.results[last].Told.Add(slack + 1) },
		"last told stream over":         func(f *figures) { f.results[last].Ended = f.began.Add(23*time.Second + 1) },
		"drain over":                    func(f *figures) { f.took = 25*time.Second + 1 },
		"slots, peak over mean":         func(f *figures) { f.replaceSlots(f.independentSlots()) },
		"slots outside of the window":   func(f *figures) { f.results[last].Retry = 5 * time.Second },
		"cut before its deadline":       func(f *figures) { f.cuts[7].at = f.cuts[7].at.Add(-2 * time.Millisecond) },
		"cut after its deadline":        func(f *figures) { f.cuts[7].at = f.cuts[7].at.Add(slack + 1) },
	} {
		f := perfect(t, args)
		spoil(f)
		err := broken(f.judge())
		if assert.Error(t, err, name) {
			assert.Contains(t, err.Error(), name)
			assert.NotContains(t, err.Error(), "\n")
		}
	}
}

// delay moves all farewells between from and until to until.
func (f *figures) delay(from, until time.Duration) {
	for i, s := range f.results {
		if at := s.Told.Sub(f.began); from <= at && at < until {
			f.results[i].Told = f.began.Add(until)
		}
	}
}

// advance moves all farewells to an earlier time.
func (f *figures) advance(by time.Duration) {
	for i, s := range f.results {
		if !s.Told.IsZero() {
			f.results[i].Told = s.Told.Add(-by)
		}
	}
}

// replaceSlots gives all clients other slots.
func (f *figures) replaceSlots(slots []time.Duration) {
	for i := range f.results {
		f.results[i].Retry = slots[i%len(slots)]
	}
}

// A squeezed drain ends at its limit, any other by its rules' times.
func TestDeadline(t *testing.T) {
	f := perfect(t, "-budget 2s")
	assert.True(t, f.squeezed())
	assert.Equal(t, 2*time.Second, f.deadline())
	for _, c := range []schedule{f.forEvents, f.forSockets} {
		assert.InDelta(t, 1.92*float64(time.Second), float64(c.window+c.timeout+c.mercy), 10, "24 s in 25 s of budget")
	}
	assert.Error(t, broken(f.judge()), "it took all of its spread")

	for _, args := range []string{"", "-budget 1h"} {
		f = perfect(t, args)
		assert.False(t, f.squeezed())
		assert.Equal(t, 23*time.Second, f.deadline())
		assert.Equal(t, 25*time.Second, f.limit)
	}
}

func TestWorst(t *testing.T) {
	const width = 10
	assert.Zero(t, worst(nil, width))
	assert.Equal(t, 1, worst([]time.Duration{20, 0, 10}, width), "a stretch holds its beginning and not its end")
	assert.Equal(t, 3, worst([]time.Duration{0, 25, 16, 30, 18, 17 + 10}, width))
}

func TestPeak(t *testing.T) {
	w := policy.Window{Min: 10, Max: 20}
	over, outside := peak([]time.Duration{10, 12, 14, 16, 18, 19}, w, 5)
	assert.InDelta(t, 2/1.2, over, 1e-9)
	assert.Zero(t, outside)
	_, outside = peak([]time.Duration{9, 10, 20}, w, 5)
	assert.Equal(t, 2, outside)
}
