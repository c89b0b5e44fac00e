package graphql

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/lastcall-go/lastcall/internal/apis/rig"
)

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "16") // the rounds mostly wait
	if err := rig.Install(); err != nil {
		rig.Remove()
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		rig.Remove()
		os.Exit(code)
	}))
}
