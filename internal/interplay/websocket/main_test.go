package websocket

import (
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience bounds what has to come, on however slow a machine.
const patience = time.Minute

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// number is an environment variable's, or what it is if unset.
func number(tb testing.TB, variable string, unset int) int {
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
