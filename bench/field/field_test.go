package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestContestants(t *testing.T) {
	seen := map[string]bool{}
	page, err := os.ReadFile("../../docs/scoreboard.md")
	require.NoError(t, err)
	for _, c := range contestants {
		assert.False(t, seen[c.name], c.name)
		seen[c.name] = true
		source := c.source
		if strings.HasPrefix(source, "/") {
			source = "../.." + source
		}
		assert.FileExists(t, source)
		if c.fills != "" {
			assert.FileExists(t, c.fills)
		}
		assert.Contains(t, string(page), "\n| "+c.title+" | ", "the page has to be written again")
		assert.Contains(t, string(page), "\n### "+c.title+"\n")
	}
}

func TestJudgeArgs(t *testing.T) {
	c := contestant{signal: "QUIT", proxy: true}
	assert.Equal(t, strings.Fields("-limit 15s -look 8s -signal QUIT -route /ws -route /events -route /answer -route /download -route /ws/slow"), c.judgeArgs())
	assert.Len(t, theRoutes, 4)
	c = contestant{routes: []string{"/x"}}
	assert.Equal(t, strings.Fields("-limit 15s -look 8s -route /x"), c.judgeArgs())
}

func TestScoreboard(t *testing.T) {
	const said = `{
		"routes": [{"route": "GET /ws", "kind": "WebSocket"}, {"route": "GET /events?x", "kind": "event stream"}, {"route": "GET /answer", "kind": "answer"}],
		"rules": [{"rule": "3.1", "title": "one", "checks": 4}, {"rule": "3.2", "title": "two", "checks": 3, "failed": 1}, {"rule": "3.3", "title": "three", "checks": 1}, {"rule": "3.4", "title": "nobody met it"}],
		"cases": [{"name": "under load", "took_ns": 1500000000}, {"name": "half sent", "took_ns": 15000000000, "killed": true, "status": -1}],
		"findings": [{"rule": "3.2", "route": "GET /a", "case": "under load", "text": "lost", "times": 2}]
	}`
	r := result{contestant: contestants[0]}
	require.NoError(t, json.Unmarshal([]byte(said), &r.score))
	require.NoError(t, r.known())
	page, err := scoreboard(time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC), []result{r}, func(p part) (string, error) { return "1.2.3", nil })
	require.NoError(t, err)
	for _, line := range []string{
		"| net/http | ✓ | 2 of 3 | ✓ |",
		"| net/http | 1.5 | 15.0 | 0 | 1 of 2 |",
		"- [3.2](drill-rules.md#32) `GET /a`, under load (2 times): lost",
		"- 3.3: three",
	} {
		assert.Contains(t, string(page), line+"\n")
	}
	assert.NotContains(t, string(page), "nobody met it")
	r.Routes[2].Kind = "stream"
	assert.ErrorContains(t, r.known(), "GET /answer for a stream")
	assert.Contains(t, string(page), "| 1.2.3, 1.2.3 | `go run ./bench/field -only nethttp` |\n")
}

func TestVersions(t *testing.T) {
	t.Chdir("../..")
	v := &versions{ctx: t.Context(), bin: filepath.Dir(os.Args[0])}
	text, err := v.of(goItself)
	require.NoError(t, err)
	assert.Regexp(t, `^Go 1\.\d+`, text)
	_, err = v.of(module(filepath.Base(os.Args[0]), "example.test/none"))
	assert.ErrorContains(t, err, "has no module example.test/none")
}

func TestUsage(t *testing.T) {
	assert.ErrorContains(t, run(context.Background(), []string{"-only", "nobody"}, io.Discard, io.Discard), `-only has "nobody": use names of nethttp, basecontext`)
	var log bytes.Buffer
	assert.ErrorContains(t, run(context.Background(), []string{"-only", "nethttp"}, io.Discard, &log), "run it in the repository's root")
	assert.Empty(t, log.String())
}
