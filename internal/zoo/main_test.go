package zoo

import (
	"crypto/x509"
	"encoding/pem"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// limit is how long a test waits for something that has to happen. It is far longer than that
// takes, so that it holds on a slow machine too.
const limit = time.Minute

var (
	// folder has the server's program, the npm packages with the scripts beside them, and the
	// servers' certificate.
	folder string
	// authorities are what a client has to trust, to trust the servers.
	authorities *x509.CertPool
)

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // the tests mostly wait
	if err := prepare(); err != nil {
		_ = os.RemoveAll(folder)
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// It sleeps until its next try, even when its stream has been closed.
	sleeper := goleak.IgnoreAnyFunction("github.com/donovanhide/eventsource.(*Stream).retryRestartStream")
	goleak.VerifyTestMain(m, sleeper, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(folder)
		os.Exit(code)
	}))
}

func prepare() (err error) {
	if folder, err = os.MkdirTemp("", "zoo"); err != nil {
		return err
	}
	certified := httptest.NewTLSServer(nil)
	certified.Close()
	authorities = certified.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	block := &pem.Block{Type: "CERTIFICATE", Bytes: certified.Certificate().Raw}
	if err := os.WriteFile(certificateFile(), pem.EncodeToMemory(block), 0o600); err != nil {
		return err
	}
	if err := os.CopyFS(nodeFolder(), os.DirFS("node")); err != nil {
		return err
	}
	for _, cmd := range []*exec.Cmd{
		exec.Command("go", "build", "-o", serverFile(), "./server"),
		exec.Command("npm", "ci", "--prefix", nodeFolder(), "--no-audit", "--no-fund", "--loglevel=error"),
	} {
		if output, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("these tests need Go, Node.js and npm, and this failed: %v: %w\n%s", cmd, err, output)
		}
	}
	return nil
}

func certificateFile() string { return filepath.Join(folder, "certificate.pem") }
func serverFile() string      { return filepath.Join(folder, "server") }
func nodeFolder() string      { return filepath.Join(folder, "node") }
