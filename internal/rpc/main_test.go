package rpc

import (
	"flag"
	"runtime/debug"
	"testing"

	"go.uber.org/goleak"
)

var (
	rounds = flag.Int("rounds", 20, "how often each cell of TestDrain is drained")
	seed   = flag.Uint64("seed", 0, "of the first round")
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // many small servers come and go
	goleak.VerifyTestMain(m)
}
