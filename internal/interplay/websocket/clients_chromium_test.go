package websocket

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/internal/interplay/websocket/node"
)

//go:embed clients.html
var page []byte

// chromiumClients returns WebSockets of one page in Chromium.
func chromiumClients(t *testing.T) clients {
	chromium := harness.Chromium(t)
	return func(t *testing.T, urls []string, use func(node.Result)) {
		results := make(chan node.Result, len(urls))
		mux := http.NewServeMux()
		mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) })
		mux.HandleFunc("GET /urls", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(urls) })
		mux.HandleFunc("POST /result", func(_ http.ResponseWriter, r *http.Request) {
			var result node.Result
			if assert.NoError(t, json.NewDecoder(r.Body).Decode(&result)) {
				results <- result
			}
		})
		s := httptest.NewServer(mux)
		t.Cleanup(s.Close)
		open(t, chromium, s.URL)
		limit := time.NewTimer(harness.Timeout)
		defer limit.Stop()
		for range urls {
			select {
			case r := <-results:
				use(r)
			case <-limit.C:
				t.Error("the page does not report the end of all its connections")
				return
			}
		}
	}
}

// open opens a page in a Chromium with a profile of its own, which runs until the test ends.
func open(t *testing.T, chromium, url string) {
	profile, err := os.MkdirTemp("", "chromium")
	require.NoError(t, err)
	cmd := exec.Command(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-breakpad",
		"--ignore-certificate-errors", // the certificates are self-signed
		"--user-data-dir="+filepath.Join(profile, "profile"), url)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // with all processes that it started
		_ = cmd.Wait()
		_ = os.RemoveAll(profile)
	})
}
