// Package harness has what the tests of this module share: limits and environment variables,
// servers that drain, and the programs that are no part of Go.
package harness

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
)

// Timeout is how long a test waits for something that has to happen. It is far longer than that
// takes, so that it holds on a slow machine too.
const Timeout = time.Minute

// Int returns the value of an environment variable, or unset if it is empty.
func Int(tb testing.TB, variable string, unset int) int {
	tb.Helper()
	s := os.Getenv(variable)
	if s == "" {
		return unset
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		tb.Fatalf("%s is %q; set it to a number above 0, or not at all", variable, s)
	}
	return n
}

// Program returns the path of a program: the value of an environment variable, or else the program
// of that name on the PATH. It skips the test if the variable is not set and the program is not
// installed.
func Program(tb testing.TB, variable, name string) string {
	tb.Helper()
	if path := os.Getenv(variable); path != "" {
		return path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		tb.Skipf("no %s on the PATH: install it, or say where it is in %s", name, variable)
	}
	return path
}

// Chromium returns the path of Chromium: $LASTCALL_BROWSER, or else the chromium on the PATH. It
// skips the test where there is none.
func Chromium(tb testing.TB) string {
	tb.Helper()
	return Program(tb, "LASTCALL_BROWSER", "chromium")
}

// Curl returns the path of curl: $LASTCALL_CURL, or else the curl on the PATH. It skips the test
// where there is none.
func Curl(tb testing.TB) string {
	tb.Helper()
	return Program(tb, "LASTCALL_CURL", "curl")
}

// Shutdown drains d, which has to succeed, and returns its report.
func Shutdown(tb testing.TB, d *middleware.Drainer, msgAndArgs ...any) middleware.Report {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	require.NoError(tb, d.Shutdown(ctx), msgAndArgs...)
	return d.Report()
}
