package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/policy"
)

func TestProgressLine(t *testing.T) {
	s := status{
		Phase: "draining", Left: 12345,
		Found: kinds{Finite: 10, SSE: 20, WebSocket: 18},
		Open:  kinds{Finite: 4, SSE: 5, WebSocket: 3},
	}
	assert.Equal(t, "draining   "+strings.Repeat("█", 12)+strings.Repeat("░", 4)+
		" 12 open: finite 4, sse 5, ws 3  12.3s left", progressLine(s, 79))

	s.Phase, s.Final, s.Open, s.Left = "done", true, kinds{}, 0
	assert.Contains(t, progressLine(s, 79), strings.Repeat("█", 16)+" 0 open")
	assert.Contains(t, progressLine(s, 79), "0.0s left")
	s.Open.SSE, s.Left = 9999, time.Hour.Milliseconds() // more came while it was announced
	assert.Contains(t, progressLine(s, 79), strings.Repeat("░", 16))
	assert.LessOrEqual(t, utf8.RuneCountInString(progressLine(s, 79)), 79)
	assert.Contains(t, progressLine(status{}, 79), strings.Repeat("█", 16), "nothing found is nothing left")

	assert.LessOrEqual(t, utf8.RuneCountInString(progressLine(s, 39)), 39)
	assert.Contains(t, progressLine(s, 39), " 9999 open ")

	s = status{Phase: "done"}
	assert.Equal(t, "done       █████ drained", progressLine(s, 39))
	assert.Contains(t, progressLine(s, 79), "drained; requests are refused until Resume")
	assert.LessOrEqual(t, utf8.RuneCountInString(progressLine(s, 79)), 79)
}

// lines is a writer that holds the live lines that a screen has shown.
type lines struct {
	mu    sync.Mutex // guards shown
	shown []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shown = append(l.shown, strings.TrimPrefix(string(p), eraseLine))
	return len(p), nil
}

// phases returns the first words of the lines, each once in a row; "" where there was none.
func (l *lines) phases() (words []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.shown {
		word, _, _ := strings.Cut(line, " ")
		words = append(words, word)
	}
	return slices.Compact(words)
}

// shownPhases shows the drains of a server with a download of ten seconds and a stream that has to
// be canceled, while act runs.
func shownPhases(t *testing.T, act func(g *graceful)) []string {
	var shown lines
	synctest.Test(t, func(t *testing.T) {
		g, err := newGraceful(config{budget: 25 * time.Second, announce: time.Second}, quiet, &screen{out: &shown, live: true})
		require.NoError(t, err)
		var table policy.Mux
		table.Handle("/stream", policy.Rule{Kind: policy.Infinite, Timeout: 2 * time.Second})
		require.NoError(t, g.rules.Store(&table, g.drainer.Budget))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { showProgress(ctx, g.drainer.Draining, g.status, g.screen) })
		h := g.wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/stream" {
				<-r.Context().Done()
				return
			}
			pause(r, 10*time.Second)
		}))
		for _, path := range []string{"/stream", "/download"} {
			running.Go(func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil)) })
		}
		synctest.Wait()
		act(g)
		cancel()
		running.Wait()
		require.NoError(t, g.drainer.Shutdown(t.Context()))
	})
	return shown.phases()
}

func TestShownPhasesNeverGoBack(t *testing.T) {
	assert.Equal(t, []string{"announcing", "draining", "canceling", ""}, shownPhases(t, func(g *graceful) {
		g.drainer.Start()
		time.Sleep(9 * time.Second)
	}), "the last seconds, in which only the download is left, too")
}

func TestEachDrainIsShown(t *testing.T) {
	assert.Equal(t, []string{"announcing", "draining", "", "announcing", "draining", "done", ""},
		shownPhases(t, func(g *graceful) {
			g.drainer.Drain()
			time.Sleep(2 * time.Second)
			require.NoError(t, g.drainer.Resume())
			time.Sleep(2 * time.Second)
			g.drainer.Drain()
			time.Sleep(20 * time.Second)
		}))
}

func TestScreenKeepsTheLiveLineBelowTheLog(t *testing.T) {
	var out bytes.Buffer
	s := &screen{out: &out, live: true}
	io.WriteString(s, "one\n")
	s.show("[##  ]")
	io.WriteString(s, "two\n")
	s.show("[### ]")
	s.show("[### ]")
	s.show("")
	io.WriteString(s, "three\n")
	assert.Equal(t, eraseLine+"one\n"+eraseLine+"[##  ]"+eraseLine+"two\n[##  ]"+eraseLine+"[### ]"+eraseLine+
		eraseLine+"three\n", out.String())

	out.Reset()
	s = &screen{out: &out}
	s.show("[##  ]")
	io.WriteString(s, "one\n")
	assert.Equal(t, "one\n", out.String(), "no live line where there is no terminal")
}

func TestLogIsShortOnATerminal(t *testing.T) {
	var out bytes.Buffer
	for _, live := range []bool{true, false} {
		log := newLog(&screen{out: &out, live: live})
		log.Info("drain begins", "cause", "a signal")
		log.Info("drain ends", "took", 1872673141*time.Nanosecond)
		log.Warn("cut")
	}
	assert.Regexp(t, `^time=\d\d:\d\d:\d\d\.\d{3} msg="drain begins"
time=\d\d:\d\d:\d\d\.\d{3} msg="drain ends" took=1\.873s
time=\d\d:\d\d:\d\d\.\d{3} level=WARN msg=cut
time=\d{4}-\S+ level=INFO msg="drain begins" cause="a signal"
time=\d{4}-\S+ level=INFO msg="drain ends" took=1\.872673141s
time=\d{4}-\S+ level=WARN msg=cut
$`, strings.ReplaceAll(out.String(), eraseLine, ""))
}

func TestFileIsNoTerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	defer f.Close()
	assert.False(t, isTerminal(f))
}
