package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// testRoutes returns all routes of a server with the given lifecycle.
func testRoutes(t *testing.T, life lifecycle) http.Handler {
	board := newDashboard(func() int { return life.status().Open.all() })
	t.Cleanup(func() { assert.NoError(t, board.close(context.Background())) })
	return routes(life, newChat(newHistory(quiet)), board)
}

func fetch(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func TestProbesAndPageAnswerThroughTheDrain(t *testing.T) {
	g, err := newGraceful(config{budget: 5 * time.Second}, quiet, &screen{})
	require.NoError(t, err)
	h := testRoutes(t, g)
	for path, want := range map[string]int{
		"/readyz": 200, "/healthz": 200, "/": 200, "/web/style.css": 200, "/status": 200, "/drain": 200, "/nowhere": 404, "/answer?tokens=1&delay=0s": 200,
	} {
		assert.Equal(t, want, fetch(h, path).Code, path)
	}
	require.NoError(t, g.drainer.Shutdown(t.Context()))
	for path, want := range map[string]int{
		"/readyz": 503, "/healthz": 200, "/": 200, "/web/style.css": 200, "/status": 200, "/drain": 200, "/nowhere": 503, "/answer?tokens=1&delay=0s": 503,
	} {
		assert.Equal(t, want, fetch(h, path).Code, path)
	}
}

func TestPageHasAllItsFiles(t *testing.T) {
	h := testRoutes(t, newBare(time.Second, quiet))
	page := fetch(h, "/")
	assert.Contains(t, page.Header().Get("Content-Type"), "text/html")
	assert.Equal(t, "no-store", page.Header().Get("Cache-Control"))
	links := regexp.MustCompile(`(?:src|href)="(/[^"]+)"`).FindAllStringSubmatch(page.Body.String(), -1)
	require.NotEmpty(t, links)
	for _, link := range links {
		file := fetch(h, link[1])
		assert.Equal(t, http.StatusOK, file.Code, link[1])
		assert.Equal(t, "no-store", file.Header().Get("Cache-Control"), link[1])
		for _, imported := range regexp.MustCompile(`from "(/[^"]+)"`).FindAllStringSubmatch(file.Body.String(), -1) {
			assert.Equal(t, http.StatusOK, fetch(h, imported[1]).Code, imported[1])
		}
	}
}

func statusOf(t *testing.T, h http.Handler) (s status) {
	w := fetch(h, "/status")
	assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &s))
	return s
}

func TestStatus(t *testing.T) {
	g, err := newGraceful(config{budget: 25 * time.Second}, quiet, &screen{})
	require.NoError(t, err)
	h := testRoutes(t, g)
	ctx, leave := context.WithCancel(t.Context())
	downloaded := make(chan struct{})
	go func() {
		defer close(downloaded)
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/download", nil))
	}()
	assert.Eventually(t, func() bool { return statusOf(t, h).Open.Finite == 1 }, 10*time.Second, time.Millisecond)
	s := statusOf(t, h)
	assert.Equal(t, "lastcall", s.By)
	assert.Equal(t, "serving", s.Phase)
	assert.EqualValues(t, 25000, s.Budget)
	assert.EqualValues(t, 25000, s.Left)
	assert.Equal(t, started, s.Started)
	assert.Equal(t, kinds{Finite: 1}, s.Open)

	g.drainer.Drain()
	assert.Eventually(t, func() bool { return statusOf(t, h).Phase == "draining" }, 10*time.Second, time.Millisecond)
	assert.Equal(t, http.StatusServiceUnavailable, fetch(h, "/poll").Code)
	assert.Eventually(t, func() bool { return statusOf(t, h).Left < 25000 }, 10*time.Second, time.Millisecond)
	s = statusOf(t, h)
	assert.Equal(t, kinds{Finite: 1}, s.Found)
	assert.Equal(t, kinds{Finite: 1}, s.Open)
	assert.Greater(t, s.Left, int64(15000))
	assert.False(t, s.Final, "it can be taken back")
	assert.Contains(t, s.Ended, outcomeCount{"refused", 1})

	leave()
	<-downloaded
	assert.Eventually(t, func() bool { return statusOf(t, h).Phase == "done" }, 10*time.Second, time.Millisecond)
	assert.Contains(t, statusOf(t, h).Ended, outcomeCount{"completed", 1})
	require.NoError(t, g.drainer.Close())
}

func TestStatusOfBare(t *testing.T) {
	b := newBare(9*time.Second, quiet)
	b.conns[nil] = &handledConn{path: "/ws", hijacked: true}
	s := statusOf(t, testRoutes(t, b))
	assert.Equal(t, "net/http", s.By)
	assert.Equal(t, "serving", s.Phase)
	assert.EqualValues(t, 9000, s.Budget)
	assert.Equal(t, kinds{WebSocket: 1}, s.Open, "a hijacked connection, too")
}

func TestKindsInWords(t *testing.T) {
	assert.Equal(t, "nothing", kinds{}.String())
	assert.Equal(t, "20 finite, 80 sse", kinds{Finite: 20, SSE: 80}.String())
	assert.Equal(t, "1 websocket, 2 other", kinds{WebSocket: 1, Other: 2}.String())
}

func TestPageURL(t *testing.T) {
	for addr, want := range map[string]string{
		"[::]:8080": "http://localhost:8080", "0.0.0.0:80": "http://localhost:80",
		"127.0.0.1:8080": "http://127.0.0.1:8080", "[::1]:9": "http://[::1]:9",
	} {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		require.NoError(t, err)
		assert.Equal(t, want, pageURL(tcp))
	}
}

// The signal is what says that the process ends; the button's drain may be taken back.
func TestStatusIsFinalAfterTheSignal(t *testing.T) {
	c := start(t, "-addr", "127.0.0.1:0")
	base := c.url()
	download, err := http.Get(base + "/download?bytes=1000000000&rate=1000")
	require.NoError(t, err)
	defer download.Body.Close()
	final := func() bool {
		res, err := http.Get(base + "/status")
		require.NoError(t, err)
		defer res.Body.Close()
		var s status
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &s))
		return s.Final
	}
	res, err := http.Post(base+"/operator/drain", "", nil)
	require.NoError(t, err)
	res.Body.Close()
	assert.False(t, final())
	c.signal(os.Interrupt)
	c.await("press Ctrl-C again")
	assert.Eventually(t, final, 10*time.Second, 10*time.Millisecond)
	http.DefaultClient.CloseIdleConnections()
	c.signal(os.Interrupt)
	status, _ := c.end()
	assert.Equal(t, exitCut, status)
}
