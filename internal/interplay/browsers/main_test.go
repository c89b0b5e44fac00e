package browsers

import (
	"flag"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
)

// How long a test waits for something that has to happen, and how often it looks at a page
// meanwhile.
const (
	patience  = harness.Timeout
	pollEvery = 20 * time.Millisecond
)

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // the tests mostly wait
	goleak.VerifyTestMain(m)
}
