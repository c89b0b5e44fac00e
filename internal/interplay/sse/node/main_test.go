package node

import (
	"encoding/pem"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
)

// packages are the versions of eventsource under test: one that is made with fetch, and the last
// one before that, which most programs still have.
var packages = []string{"eventsource-4@npm:eventsource@4.1.0", "eventsource-2@npm:eventsource@2.0.2"}

// folder is where the packages are installed.
var folder string

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // the clients mostly wait for their time to reconnect
	var err error
	if folder, err = harness.InstallNPM(packages...); err == nil {
		err = writeCertificate()
	}
	if err != nil {
		_ = os.RemoveAll(folder)
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(folder)
		os.Exit(code)
	}))
}

// writeCertificate writes the servers' self-signed certificate to a file, for Node.js to trust.
func writeCertificate() error {
	block := &pem.Block{Type: "CERTIFICATE", Bytes: harness.Certificate().Certificate[0]}
	return os.WriteFile(certificateFile(), pem.EncodeToMemory(block), 0o600)
}

func certificateFile() string { return filepath.Join(folder, "certificate.pem") }
