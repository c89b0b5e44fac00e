package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRules(t *testing.T) {
	c := start(t, "-rules", "-announce", "3s")
	<-c.over
	assert.Zero(t, c.cmd.ProcessState.ExitCode())
	assert.Empty(t, c.lines())
	out := c.out.String()
	for _, want := range []string{
		`^budget 25s: announce 3s, responses 20s, reserve 2s\n`,
		`(?m)^/ws +pattern +kind infinite, spread 1s, timeout 2s, reconnect 1s to 5s, reason `,
		`(?m)^/events +pattern +kind infinite, spread 1s, timeout at once, reconnect 1s to 5s$`,
		`(?m)^ +default +grace 0s, order random, priority 0, mercy 1s, code 1012,`,
		`(?m)^\(all others\) +default +kind auto,`,
	} {
		assert.Regexp(t, want, out)
	}
}

func file(t *testing.T, text string) (name string) {
	name = filepath.Join(t.TempDir(), "drain.json")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

func TestPolicyFromAFile(t *testing.T) {
	name := file(t, `{
		"budget": {"total": "20s", "announce": "1s", "reserve": "1500ms"},
		"routes": {"/events": "tell-stay-away"}
	}`)
	for args, want := range map[string]string{
		"":             "budget 20s: announce 1s, responses 17.5s, reserve 1.5s\n",
		"-budget 30s":  "budget 30s: announce 1s, responses 27.5s, reserve 1.5s\n",
		"-announce 0s": "budget 20s: announce 0s, responses 18.5s, reserve 1.5s\n",
	} {
		c := start(t, append(strings.Fields(args), "-rules", "-policy", name)...)
		<-c.over
		assert.Zero(t, c.cmd.ProcessState.ExitCode())
		assert.Contains(t, c.out.String(), want)
		assert.Regexp(t, `(?m)^/events +`+regexp.QuoteMeta(name)+`:3 +kind infinite, spread 5s, code 1000`, c.out.String())
		assert.NotContains(t, c.out.String(), "/ws", "the file's table is the whole table")
	}
}

// A dashboard that comes after the file has changed is told what the file says now, and a bad file
// changes nothing.
func TestHangupReadsThePolicyAgain(t *testing.T) {
	name := file(t, `{"routes": {"/events": {"timeout": "at once", "farewell": {"event": "first"}}}}`)
	c := start(t, "-addr", "127.0.0.1:0", "-policy", name)
	base := c.url()
	ctx, cancel := context.WithTimeout(t.Context(), childLimit)
	defer cancel()
	come := func(until func()) result {
		results, err := runClients(ctx, base, []client{dashboardClient}, until)
		require.NoError(t, err)
		return results[0]
	}

	var second, third result
	first := come(func() {
		require.NoError(t, os.WriteFile(name, []byte(`{"routes": {"/events": {"timeout": "at once", "farewell": {"event": "second"}}}}`), 0o600))
		c.signal(syscall.SIGHUP)
		c.await(`msg="policy read again" file=\S+ routes=1`)
		second = come(func() {
			require.NoError(t, os.WriteFile(name, []byte(`{"routes": {"/events": {"spread": "1h"}}}`), 0o600))
			c.signal(syscall.SIGHUP)
			c.await(`msg="policy stays as it was".*:1: route \\"/events\\" needs 1h0m0s`)
			third = come(func() { c.signal(syscall.SIGTERM) })
		})
	})
	assert.Equal(t, []string{"first", "second", "second"}, []string{first.event, second.event, third.event})
	status, _ := c.end()
	assert.Equal(t, exitOK, status)
}
