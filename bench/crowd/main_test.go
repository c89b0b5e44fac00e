package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"
)

// TestMain runs the clients' processes too, which are this program again.
func TestMain(m *testing.M) {
	if isClients() {
		os.Exit(runClients())
	}
	goleak.VerifyTestMain(m)
}

func TestFlags(t *testing.T) {
	for args, wrong := range map[string]string{
		"-streams 0":                           "-streams is 0",
		"-websockets 1.5":                      "-websockets is 1.5",
		"-websockets NaN":                      "-websockets is NaN",
		"-stuck -1":                            "-stuck is -1",
		"-streams 10 -websockets 0.5 -stuck 6": "use 0 to 5",
		"-spread 0s":                           "-spread is 0s",
		"-budget -1s":                          "-budget is -1s",
		"-every 0s":                            "-every is 0s",
		"-processes 0":                         "-processes is 0",
		"-crowd":                               "not defined",
		"10000":                                `unexpected argument "10000"`,
	} {
		var out, errs strings.Builder
		assert.Equal(t, exitUsage, run(strings.Fields(args), &out, &errs), args)
		assert.Contains(t, errs.String(), wrong)
		assert.Equal(t, 1, strings.Count(errs.String(), "\n"), "%s: one line", args)
		assert.Empty(t, out.String())
	}
	var out, errs strings.Builder
	assert.Equal(t, exitOK, run([]string{"-h"}, &out, &errs))
	assert.Contains(t, out.String(), "-streams")
	assert.Empty(t, errs.String())
}

// Exit status and error agree with the table.
func TestRun(t *testing.T) {
	var out, errs strings.Builder
	status := run(strings.Fields("-streams 20 -spread 100ms -stuck 1 -processes 3"), &out, &errs)
	assert.Contains(t, out.String(), "10 event streams, 1 of them stuck, and 10 WebSockets; spread 100ms\n")
	if strings.Contains(out.String(), "BROKEN") {
		assert.Equal(t, exitBroken, status)
		assert.Contains(t, errs.String(), "should be")
	} else {
		assert.Equal(t, exitOK, status)
		assert.Empty(t, errs.String())
	}
	t.Logf("%s%s", out.String(), errs.String())
}
