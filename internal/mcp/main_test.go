package mcp

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

var rounds = flag.Int("rounds", 20, "how many drains each cell goes through")

var nodeRounds = flag.Int("node-rounds", 20, "how many drains each cell of Node.js goes through")

var firstSeed = flag.Uint64("seed", 1, "of the first round of each cell; a failure names its own")

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "16") // the rounds with Node.js mostly wait
	goleak.VerifyTestMain(m)
}
