package rpc

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

var (
	rounds = flag.Int("rounds", 200, "how often each cell of TestDrain is drained")
	seed   = flag.Uint64("seed", 0, "of the first round")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
