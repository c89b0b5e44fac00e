package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func command(args ...string) (out, log string, err error) {
	var o, l bytes.Buffer
	err = run(args, &o, &l)
	return o.String(), l.String(), err
}

func TestRun(t *testing.T) {
	results, picture := filepath.Join(t.TempDir(), "r.md"), filepath.Join(t.TempDir(), "p.svg")
	require.NoError(t, os.WriteFile(results, []byte("before\n"+markBegin+"old\n"+markEnd+"after\n"), 0o644))
	small := []string{"-replicas", "3", "-clients", "1000", "-results", results, "-plot", picture}

	out, log, err := command(small...)
	require.NoError(t, err)
	assert.Equal(t, 5, strings.Count(out, "| strategy |"))
	assert.Equal(t, 10, strings.Count(out, "\n| lastcall: "))
	assert.Regexp(t, `^herd: [\d,]+ moves of clients in `, log)

	first, err := os.ReadFile(results)
	require.NoError(t, err)
	assert.Equal(t, "before\n"+markBegin+out+markEnd+"after\n", string(first))

	plotted, err := os.ReadFile(picture)
	require.NoError(t, err)
	assert.Contains(t, string(plotted), "Phoenix: 10,000 every 2 s")
	assert.Contains(t, string(plotted), "lastcall: over 5 s, slots of 1 s to 30 s")
	for d := xml.NewDecoder(bytes.NewReader(plotted)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
	}

	again, _, err := command(small...)
	require.NoError(t, err)
	assert.Equal(t, out, again, "equal flags give equal figures, whichever scenario is done first")
	other, _, err := command(append(small, "-seed", "2")...)
	require.NoError(t, err)
	assert.NotEqual(t, out, other)
}

func TestRunWithFewClients(t *testing.T) {
	for _, clients := range []string{"0", "1"} {
		_, _, err := command("-replicas", "2", "-clients", clients, "-restart", "0s", "-plot", filepath.Join(t.TempDir(), "p.svg"))
		assert.NoError(t, err)
	}
}

func TestRunRefuses(t *testing.T) {
	unmarked := filepath.Join(t.TempDir(), "r.md")
	require.NoError(t, os.WriteFile(unmarked, []byte("no marks\n"), 0o644))
	for _, tt := range []struct{ args, want string }{
		{"-replicas 1", "-replicas is 1; a roll needs another replica to send clients to: use 2 or more"},
		{"-clients -1", "-clients is -1; use 0 to 4294967295"},
		{"-restart -1s", "-restart is -1s; use 0 or more"},
		{"-ignore 5", "-ignore is 5; use a share from 0 to 1"},
		{"-ignore NaN", "-ignore is NaN; use a share from 0 to 1"},
		{"extra", `"extra" is no flag; -h lists them`},
		{"-nonsense", "flag provided but not defined: -nonsense"},
		{"-replicas 2 -clients 10 -results " + unmarked, unmarked + ": no place for the tables; add the lines <!-- herd begins --> and <!-- herd ends -->"},
	} {
		_, _, err := command(strings.Fields(tt.args)...)
		assert.EqualError(t, err, tt.want)
	}
	kept, err := os.ReadFile(unmarked)
	require.NoError(t, err)
	assert.Equal(t, "no marks\n", string(kept))

	_, log, err := command("-h")
	assert.NoError(t, err)
	assert.Contains(t, log, "-replicas")
}

func TestTable(t *testing.T) {
	s := scenario{fleet: fleet{balance: leastLoaded}, population: population{name: "Some clients"}, rows: []row{
		{figures: figures{strategy: "one", peak: 25_000, single: 999, median: 10 * ms, tail: 12345 * ms, again: 1_234_567, took: 61499 * ms}},
		{figures: figures{strategy: "Phoenix", peak: 10_000, took: 3599500 * ms}},
		{figures: figures{strategy: "three", peak: 833}},
	}}
	var b bytes.Buffer
	s.write(&b)
	assert.Equal(t, `### Some clients, sent to the least loaded replica

| strategy | most connects in 100 ms | ratio to Phoenix's | in one replica | out of service, median | 99 % | moved more than once | the roll took |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| one | 25,000 | 2.5 | 999 | 0.01 s | 12.35 s | 1,234,567 | 1 min 01 s |
| Phoenix | 10,000 | 1 | 0 | 0.00 s | 0.00 s | 0 | 60 min 00 s |
| three | 833 | 0.0833 | 0 | 0.00 s | 0.00 s | 0 | 0 min 00 s |

`, b.String())
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 123456: "123,456", 1234567: "1,234,567"} {
		assert.Equal(t, want, thousands(n))
	}
	for d, want := range map[time.Duration]string{2 * sec: "2 s", 15912 * ms: "15.9 s", 110 * sec: "110 s", 0: "0 s"} {
		assert.Equal(t, want, short(d))
	}
}
