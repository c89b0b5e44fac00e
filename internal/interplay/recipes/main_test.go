package recipes

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// TestMain runs the tests, or in a process that a test has started the recipe which PROGRAM names.
func TestMain(m *testing.M) {
	if program := os.Getenv("PROGRAM"); program != "" {
		if err := programs[program](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	gin.SetMode(gin.ReleaseMode)
	goleak.VerifyTestMain(m)
}

// words is what the handlers of this test send.
var words = []string{"one", "two", "three"}

// news is an event stream that goes on until its context ends.
func news(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for n := 0; ; n++ {
		fmt.Fprintf(w, "data: %s\n\n", words[n%len(words)])
		_ = http.NewResponseController(w).Flush()
		if !pause(r.Context()) {
			return
		}
	}
}

// pause waits a little, and reports whether ctx goes on.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(20 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// An events reads an event stream as an EventSource would.
type events struct {
	*bufio.Reader
	t    *testing.T
	body io.Closer
}

// openEvents asks for an event stream as an EventSource does, and reads its first event.
func openEvents(t *testing.T, url string) *events {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	require.NoError(t, err)
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Cache-Control", "no-cache")
	req.Header.Set("User-Agent", "Mozilla/5.0")
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	res, err := transport.RoundTrip(req)
	require.NoError(t, err)
	t.Cleanup(func() { _ = res.Body.Close() })
	require.Equal(t, http.StatusOK, res.StatusCode)
	e := &events{bufio.NewReader(res.Body), t, res.Body}
	line, err := e.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, words[0])
	return e
}

// rest returns what comes up to the stream's end, which has to be clean.
func (e *events) rest() string {
	e.t.Helper()
	rest, err := io.ReadAll(e)
	require.NoError(e.t, err)
	return string(rest)
}

// get returns the status and the body of a response over a connection of its own.
func get(url string) (status int, body string, err error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}
