package middleware_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// requireBalanced checks that the sums of a report are equal, as its doc promises.
func requireBalanced(t testing.TB, r middleware.Report) {
	t.Helper()
	var open middleware.Tally
	var ended middleware.Outcomes
	for _, g := range r.Groups {
		switch {
		case g.Format == stream.Task:
			open.Tasks += g.Open
		case g.Kind != policy.Infinite:
			open.Finite += g.Open
		case g.Format == stream.SSE:
			open.SSE += g.Open
		case g.Format == stream.WebSocket:
			open.WebSocket += g.Open
		default:
			open.Other += g.Open
		}
		ended.Completed += g.Completed
		ended.Told += g.Told
		ended.Unanswered += g.Unanswered
		ended.Canceled += g.Canceled
		ended.Cut += g.Cut
		ended.Refused += g.Refused
		ended.Broken += g.Broken
	}
	require.Equal(t, r.Open, open)
	require.Equal(t, r.Outcomes, ended)
	var perSecond uint64
	for _, n := range r.EndedPerSecond {
		perSecond += uint64(n)
	}
	require.Equal(t, r.All(), perSecond)
	if r.Began.IsZero() {
		require.Zero(t, r.Late)
		require.Zero(t, r.Outcomes)
		return
	}
	require.EqualValues(t, uint64(r.Found.All())+r.Late, uint64(r.Open.All())+r.All())
	var took time.Duration
	for _, phase := range r.Phases {
		took += phase
	}
	require.Equal(t, r.Took, took)
}

// golden is what testdata/report.json and report.txt show.
var golden = middleware.Report{
	Phase: middleware.Done, Cause: "received signal: terminated",
	Began: time.Date(2026, 11, 27, 13, 0, 0, 0, time.UTC), Took: 12345678901,
	Phases: map[middleware.Phase]time.Duration{
		middleware.Announcing: 2 * time.Second, middleware.Draining: 8 * time.Second,
		middleware.Canceling: 1500 * time.Millisecond, middleware.Cutting: 850 * time.Millisecond,
	},
	Before: middleware.Outcomes{Completed: 1e6},
	Found:  middleware.Tally{Finite: 42, SSE: 3, WebSocket: 1, Tasks: 1},
	Late:   7, Open: middleware.Tally{Finite: 1},
	Outcomes: middleware.Outcomes{Completed: 42, Told: 3, Unanswered: 1, Canceled: 1, Cut: 1, Refused: 5, Broken: 1},
	Groups: []middleware.Group{
		{Route: "GET /rooms/{id}", Kind: policy.Finite, Format: stream.HTTP, Open: 1, Outcomes: middleware.Outcomes{Completed: 41, Cut: 1}},
		{Kind: policy.Finite, Format: stream.HTTP, Outcomes: middleware.Outcomes{Refused: 5}},
		{
			Route: "GET /a/very/long/pattern/of/a/route/that/somebody/made/up",
			Rule:  policy.Rule{Spread: 10 * time.Second, Farewell: policy.Farewell{Data: "bye"}},
			Kind:  policy.Infinite, Format: stream.SSE, Outcomes: middleware.Outcomes{Told: 3, Broken: 1},
		},
		{Route: "GET /ws", Kind: policy.Infinite, Format: stream.WebSocket, Outcomes: middleware.Outcomes{Unanswered: 1}},
		{
			Route: "task main.order(orders.go:17)", Rule: policy.Rule{Kind: policy.Finite},
			Kind: policy.Finite, Format: stream.Task, Outcomes: middleware.Outcomes{Canceled: 1},
		},
		{Outcomes: middleware.Outcomes{Completed: 1}},
	},
	ToldPerSecond: []int{0, 0, 3, 0, 1}, EndedPerSecond: []int{40, 0, 3, 0, 1, 9},
	Waiting: []middleware.ResponseInfo{{
		Route: "GET /rooms/7 (pattern GET /rooms/{id})", Pattern: "GET /rooms/{id}", Remote: "192.0.2.7:4711",
		Kind: policy.Finite, Format: stream.HTTP, Age: 41 * time.Second, Idle: 41 * time.Second, Running: true,
		Where: "chan receive at main.join (rooms.go:48) < main.room (rooms.go:17)",
		Stack: "goroutine 7 [chan receive]:\nmain.join(...)",
	}},
	Aborted: []middleware.ResponseInfo{{
		Route: "GET /tunnel", Kind: policy.Infinite, Format: stream.Hijacked,
		Age: time.Hour + 2*time.Minute + 3*time.Second, Idle: 12345678, Hijacker: "main.tunnel",
	}},
	Streaming: 1, Swallowed: 1, SwallowedBytes: 1234,
}

// Operators' tools read the JSON, in which nobody should have to know that 2 is draining.
func TestReportAsJSON(t *testing.T) {
	want, err := os.ReadFile("testdata/report.json")
	require.NoError(t, err)
	got, err := json.MarshalIndent(golden, "", "  ")
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got)+"\n")
	var read middleware.Report
	require.NoError(t, json.Unmarshal(want, &read))
	assert.Equal(t, golden, read)
}

func TestReportAsText(t *testing.T) {
	want, err := os.ReadFile("testdata/report.txt")
	require.NoError(t, err)
	assert.Equal(t, string(want), golden.String())
	assert.Equal(t, "serving: nothing open\nended before: nothing\n", middleware.Report{}.String())
}

// However much there is to say, and whatever stands in it, a terminal and a container's termination
// log have room for it, and no line can be forged.
func TestReportTextFits(t *testing.T) {
	long := strings.Repeat("\x1b[2Jß\n", 100)
	r := golden
	r.Cause = long
	for range 100 {
		i := golden.Waiting[0]
		i.Route, i.Where, i.Hijacker, i.Remote = long, long+" < "+long+" < "+long, long, long
		r.Waiting, r.Aborted = append(r.Waiting, i), append(r.Aborted, i)
		r.Groups = append([]middleware.Group{{Route: long, Open: 7, Kind: policy.Infinite, Format: stream.Format(long), Outcomes: golden.Outcomes}}, r.Groups...)
	}
	text := r.String()
	assert.Less(t, len(text), 4000)
	for line := range strings.Lines(text) {
		assert.LessOrEqual(t, utf8.RuneCountInString(line), 80+1, line)
	}
	assert.NotContains(t, text, "\x1b")
	for _, want := range []string{"and 98 more", "and 97 more", "  and 97 more"} {
		assert.Contains(t, text, want)
	}
}

func TestReportInALog(t *testing.T) {
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "report", golden, "stuck", golden.Waiting[0])
	assert.Contains(t, log.String(), `report.phase=done report.open=1 report.cause="received signal: terminated" report.found=47 report.late=7 `+
		`report.took=12.345678901s report.completed=42 report.told=3 report.unanswered=1 report.canceled=1 report.cut=1 report.refused=5 `+
		`stuck.route="GET /rooms/7 (pattern GET /rooms/{id})" stuck.kind=finite stuck.format=http stuck.age=41s stuck.idle=41s stuck.remote=192.0.2.7:4711 `+
		`stuck.where="chan receive at main.join (rooms.go:48) < main.room (rooms.go:17)" stuck.stack="goroutine 7 [chan receive]:\nmain.join(...)"`)
}

// What a drain did is in its report: phases, pace, groups, late and refused requests, and what was
// written behind the farewells.
func TestReportOfADrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "report")
		d := &middleware.Drainer{
			Policy: policy.Rule{Spread: 2 * time.Second, Timeout: 1500 * time.Millisecond}, ReportFile: file,
			Budget: policy.Budget{Total: 20 * time.Second, Announce: time.Second, Reserve: time.Second},
		}
		mux := http.NewServeMux()
		mux.Handle("/stream/{n}", ticks(nil))
		mux.HandleFunc("/slow", func(http.ResponseWriter, *http.Request) { time.Sleep(8 * time.Second) })
		r := serve(t, d, mux)
		for n := range 3 {
			r.getAsync(fmt.Sprintf("/stream/%d", n))
		}
		r.getAsync("/slow")
		synctest.Wait()
		serving := d.Report()
		requireBalanced(t, serving)
		assert.Equal(t, middleware.Tally{Finite: 1, SSE: 3}, serving.Open)
		r.drain()
		late := r.getAsync("/stream/3")
		time.Sleep(1500 * time.Millisecond)
		assert.Equal(t, 503, (<-r.getAsyncWith("/slow")).StatusCode)
		middle := d.Report()
		requireBalanced(t, middle)
		assert.Equal(t, middleware.Draining, middle.Phase)
		assert.Equal(t, 18500*time.Millisecond, middle.Left)
		assert.Len(t, middle.Waiting, 3)
		assert.Equal(t, "/slow", middle.Waiting[0].Pattern, "though it hasn't begun its response")
		report := r.endsAfter(8 * time.Second)
		<-late
		for phase, took := range map[middleware.Phase]time.Duration{
			middleware.Announcing: time.Second, middleware.Draining: 1500 * time.Millisecond, middleware.Canceling: 5500 * time.Millisecond,
		} {
			assert.InDelta(t, took, report.Phases[phase], float64(25*time.Millisecond), phase) // four farewells at 200 a second
		}
		assert.EqualValues(t, 2, report.Late, "a stream, and one refused")
		var routes []string
		for _, g := range report.Groups {
			routes = append(routes, fmt.Sprint(g.Route, " ", g.Kind, " ", g.Format, " ", g.All(), " ", g.Rule.Spread))
		}
		assert.Equal(t, []string{"/stream/{n} infinite sse 4 2s", " finite http 1 2s", "/slow finite http 1 2s"}, routes)
		assert.EqualValues(t, 4, report.ToldPerSecond[1], "at 200 a second, whatever the spread")
		assert.EqualValues(t, 4*len("data: tick\n\n"), report.SwallowedBytes)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, d.Report().String(), string(text))
	})
}

// Clients choose paths: what reports count by is patterns, and bounded.
func TestReportGroupsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "report.json")
		d := &middleware.Drainer{Budget: policy.Budget{Announce: 20 * time.Second, Total: 50 * time.Second}, ReportFile: file}
		mux := http.NewServeMux()
		mux.HandleFunc("GET /rooms/{id}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "a room") })
		mux.HandleFunc("GET /own/", func(_ http.ResponseWriter, r *http.Request) {
			stream.From(r.Context()).Refine(policy.Rule{Farewell: policy.Farewell{Data: r.URL.Path}})
		})
		plain := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/no/") {
				return
			}
			mux.ServeHTTP(w, r)
		})
		r := serve(t, d, plain)
		r.drain()
		for n := range 10_000 {
			for _, path := range []string{"/rooms/%d", "/no/%d"} {
				(<-r.getAsync(fmt.Sprintf(path, n))).Body.Close()
			}
			if n%10 == 0 {
				<-r.getAsync(fmt.Sprintf("/own/%d", n))
			}
		}
		report := d.Report()
		requireBalanced(t, report)
		assert.Len(t, report.Groups, 501)
		assert.Equal(t, "", report.Groups[0].Route)
		assert.EqualValues(t, 10_000, report.Groups[0].Completed)
		assert.Equal(t, "GET /rooms/{id}", report.Groups[1].Route)
		assert.EqualValues(t, 10_000, report.Groups[1].Completed)
		assert.Equal(t, middleware.Group{Outcomes: middleware.Outcomes{Completed: 502}}, report.Groups[2], "all over 500")
		r.endsAfter(20 * time.Second)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var read middleware.Report
		require.NoError(t, json.Unmarshal(text, &read))
		assert.Equal(t, report.Groups[:3], read.Groups[:3])
	})
}

// A report's file that can't be written costs nothing but a line in the log.
func TestReportFileThatCannotBeWritten(t *testing.T) {
	var log syncBuffer
	d := &middleware.Drainer{ReportFile: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&log, nil))}
	assert.NoError(t, d.Shutdown(context.Background()))
	assert.Contains(t, log.String(), `msg="the report can't be written"`)
}
