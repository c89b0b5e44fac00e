package browsers

import (
	"flag"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// How long a test waits for anything that has to come, and how often it looks into a page meanwhile.
const (
	patience  = 30 * time.Second
	pollEvery = 20 * time.Millisecond
)

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // the downloads mostly wait
	goleak.VerifyTestMain(m)
}

// program gives the path of a program that is no part of Go. It skips the test where the program isn't installed and
// nobody asked for it by name.
func program(t *testing.T, variable, name string) string {
	t.Helper()
	if path := os.Getenv(variable); path != "" {
		return path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("no %s on the PATH: install it, or say where it is in %s", name, variable)
	}
	return path
}
