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
)

//go:embed clients.html
var page []byte

// chromiums are WebSockets of a page in Chromium: $LASTCALL_BROWSER, or else the chromium on the PATH. Where there is none
// the test is skipped, unless the variable is set.
func chromiums(t *testing.T) clientele {
	browser := os.Getenv("LASTCALL_BROWSER")
	if browser == "" {
		var err error
		if browser, err = exec.LookPath("chromium"); err != nil {
			t.Skip("no chromium on the PATH: install it, or say where it is in LASTCALL_BROWSER")
		}
	}
	return func(t *testing.T, urls []string, use func(verdict)) {
		closings := make(chan verdict, len(urls))
		mux := http.NewServeMux()
		mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) })
		mux.HandleFunc("GET /urls", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(urls) })
		mux.HandleFunc("POST /closing", func(_ http.ResponseWriter, r *http.Request) {
			var c verdict
			if assert.NoError(t, json.NewDecoder(r.Body).Decode(&c)) {
				closings <- c
			}
		})
		s := httptest.NewServer(mux)
		t.Cleanup(s.Close)
		run(t, browser, s.URL)
		limit := time.NewTimer(patience)
		defer limit.Stop()
		for range urls {
			select {
			case c := <-closings:
				use(c)
			case <-limit.C:
				t.Error("the page doesn't tell of all its connections")
				return
			}
		}
	}
}

// run runs Chromium on a page, with a profile of its own, for as long as the test lasts.
func run(t *testing.T, browser, url string) {
	profile, err := os.MkdirTemp("", "chromium")
	require.NoError(t, err)
	cmd := exec.Command(browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-breakpad",
		"--ignore-certificate-errors", // theirs are their own
		"--user-data-dir="+filepath.Join(profile, "profile"), url)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // and all that it started
		_ = cmd.Wait()
		_ = os.RemoveAll(profile)
	})
}
