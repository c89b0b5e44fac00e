package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const ms = time.Millisecond

func TestReplay(t *testing.T) {
	got := replay("title", "live", []chunk{
		{10 * ms, "one\r\n"},
		{20 * ms, "\r\x1b[K██░░ 2 open"},
		{30 * ms, "\r\x1b[K████ 0"},
		{40 * ms, "\r\x1b[K" + stopLine + "\r\n████ 0"},
		{50 * ms, "\r\x1b[K\r\nend   \r\n"},
	})
	assert.Equal(t, terminal{title: "title", stop: 40 * ms, end: 50 * ms, rows: []row{
		{{0, "$ live"}},
		{{10 * ms, "one"}},
		{{20 * ms, "██░░ 2 open"}, {30 * ms, "████ 0"}, {40 * ms, stopLine}},
		{{40 * ms, "████ 0"}, {50 * ms, ""}},
		{{50 * ms, "end"}},
	}}, got)
}

func TestReplayWrapsLongLines(t *testing.T) {
	got := replay("", "live", []chunk{{ms, strings.Repeat("x", columns) + "yy\r\nz\r\n"}})
	require.Len(t, got.rows, 4)
	assert.Equal(t, strings.Repeat("x", columns), got.rows[1][0].text)
	assert.Equal(t, "yy", got.rows[2][0].text)
	assert.Equal(t, "z", got.rows[3][0].text)
}

// example is a terminal of more rows than are visible, of which one is overwritten after a second.
func example() terminal {
	return replay("with <lastcall>", "live", []chunk{
		{100 * ms, stopLine + "\r\nwait"},
		{1100 * ms, "\r\x1b[Kclose 1012 \"…\"\r\n" + strings.Repeat("line\r\n", visible)},
	})
}

func TestPictureIsXMLWithoutScript(t *testing.T) {
	p := picture{speed: 1, terminals: []terminal{example(), example()}}
	text := string(p.svg())
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if e, ok := token.(xml.StartElement); ok {
			assert.NotEqual(t, "script", e.Name.Local)
			seen := map[string]bool{}
			for _, a := range e.Attr {
				assert.False(t, seen[a.Name.Local], "%s has two attributes %s", e.Name.Local, a.Name.Local)
				seen[a.Name.Local] = true
			}
		}
	}
	assert.Contains(t, text, "with &lt;lastcall&gt;")
	assert.Contains(t, text, `<tspan class="good">close 1012 &#34;…&#34;</tspan>`)
	assert.Contains(t, text, "prefers-reduced-motion")
}

func TestPictureKeepsTheTimes(t *testing.T) {
	p := picture{speed: 1, terminals: []terminal{example()}}
	text := string(p.svg())
	assert.Contains(t, text, "animation: 7.1s step-end infinite") // 1.1 s of the run, 6 s of its end
	assert.Contains(t, text, "{0%{visibility:hidden}1.408%{visibility:visible}15.493%{visibility:hidden}}", "wait, from 0.1 s to 1.1 s")
	assert.Contains(t, text, "15.493%{transform:translateY(-51px)}", "three rows scroll out")
	assert.Contains(t, text, "ended after 1.0 s")
	assert.Contains(t, text, "in real time")

	p = picture{speed: 2, terminals: []terminal{example()}}
	text = string(p.svg())
	assert.Contains(t, text, "animation: 6.55s step-end infinite")
	assert.Contains(t, text, "2 times as fast as they were")
}

func TestRecord(t *testing.T) {
	if _, err := exec.LookPath("script"); err != nil {
		require.Empty(t, os.Getenv("CI"), "CI must have util-linux's script")
		t.Skip("no program script, of util-linux")
	}
	written, err := record(t.Context(), "test -t 2 && printf terminal; exit 1")
	require.NoError(t, err)
	var text strings.Builder
	for _, c := range written {
		text.WriteString(c.text)
	}
	assert.Equal(t, "terminal", text.String())
	_, err = record(t.Context(), "true")
	assert.ErrorContains(t, err, "it wrote nothing")
}

// The README's picture is small, and shows what the demonstration says today.
func TestPictureInTheDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/demo.svg")
	require.NoError(t, err)
	assert.Less(t, len(text), 60_000)
	p := picture{speed: 1, terminals: []terminal{example()}}
	styles := regexp.MustCompile(`(?m)^\.bold .*$`)
	assert.Equal(t, styles.FindString(string(p.svg())), styles.FindString(string(text)), "it was made by this command as it is")
	for _, line := range []string{stopLine, "drain begins", "drain ends", "WHAT THE SERVER REPORTS (lastcall", "WHAT THE CLIENTS SAW", "nothing was cut; all 200 responses"} {
		assert.Contains(t, string(text), line)
	}
}
