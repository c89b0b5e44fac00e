package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/stream"
)

func TestPrintReport(t *testing.T) {
	var out bytes.Buffer
	printReport(&out, summary{by: "lastcall", took: 1234567 * time.Microsecond, rows: []row{
		{"found", 120, "finite 40, sse 80"}, {"cut", 0, "by force"},
	}})
	assert.Equal(t, `
WHAT THE SERVER REPORTS (lastcall, 1.235s)
found  120  finite 40, sse 80
cut    0    by force
`, out.String())
}

func TestPrintSightings(t *testing.T) {
	told := func(client, event string, retry int) sighting {
		return sighting{client: client, event: event, retry: time.Duration(retry) * time.Millisecond}
	}
	reset := &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	var out bytes.Buffer
	printSightings(&out, []sighting{
		{client: "download", bytes: 10},
		told("dashboard", "shutdown", 3000),
		{client: "websocket", err: errors.New("1006")},
		{client: "websocket", code: 1012, reason: "retry=1000", retry: time.Second},
		{client: "websocket", code: 1012, reason: "retry=1500", retry: 1500 * time.Millisecond},
		{client: "dashboard", err: io.ErrUnexpectedEOF},
		{client: "dashboard", err: reset},
		told("dashboard", "shutdown", 1000),
		told("dashboard", "shutdown", 1000),
		told("answer", "done", 0),
	})
	assert.Equal(t, `
WHAT THE CLIENTS SAW
websocket  2  close 1012 "retry=…"                              retry: 2 values, 1s to 1.5s
websocket  1  1006, no close frame                              
dashboard  3  event "shutdown", clean end                       retry: 2 values, 1s to 3s
dashboard  1  no last event, cut off: unexpected EOF            
dashboard  1  no last event, cut off: connection reset by peer  
answer     1  event "done", clean end                           
download   1  10 bytes, clean end                               
`, out.String())
}

func TestProgressLine(t *testing.T) {
	r := middleware.Report{
		Phase: middleware.Draining,
		Found: stream.Tally{Finite: 10, SSE: 20, WebSocket: 18},
		Open:  stream.Tally{Finite: 4, SSE: 5, WebSocket: 3},
	}
	line := progressLine(r, 12345*time.Millisecond)
	assert.Equal(t, "draining   "+strings.Repeat("█", 12)+strings.Repeat("░", 4)+
		" 12 open: finite 4, sse 5, ws 3  12.3s left", line)

	r.Phase, r.Open = middleware.Done, stream.Tally{}
	assert.Contains(t, progressLine(r, -time.Second), strings.Repeat("█", 16)+" 0 open")
	assert.Contains(t, progressLine(r, -time.Second), "0.0s left")
	r.Open.SSE = 9999 // more came while it was announced
	line = progressLine(r, time.Hour)
	assert.Contains(t, line, strings.Repeat("░", 16))
	assert.LessOrEqual(t, utf8.RuneCountInString(line), 80)
	assert.Contains(t, progressLine(middleware.Report{}, 0), strings.Repeat("█", 16), "nothing found is nothing left")
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
	assert.Equal(t, "one\n"+eraseLine+"[##  ]"+eraseLine+"two\n[##  ]"+eraseLine+"[### ]"+eraseLine+"three\n", out.String())

	out.Reset()
	s = &screen{out: &out}
	s.show("[##  ]")
	io.WriteString(s, "one\n")
	assert.Equal(t, "one\n", out.String(), "no live line where there is no terminal")
}

func TestFileIsNoTerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	defer f.Close()
	assert.False(t, isTerminal(f))
}

func TestProbesAnswerThroughTheDrain(t *testing.T) {
	g, err := newGraceful(config{budget: 5 * time.Second}, quiet, &screen{})
	require.NoError(t, err)
	board := newDashboard(g.open)
	defer func() { assert.NoError(t, board.close(context.Background())) }()
	h := routes(g, newChat(newHistory(quiet)), board)
	get := func(path string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Code
	}
	for path, want := range map[string]int{"/readyz": 200, "/healthz": 200, "/": 200, "/nowhere": 404} {
		assert.Equal(t, want, get(path), path)
	}
	require.NoError(t, g.drainer.Shutdown(t.Context()))
	for path, want := range map[string]int{"/readyz": 503, "/healthz": 200, "/": 503} {
		assert.Equal(t, want, get(path), path)
	}
}
