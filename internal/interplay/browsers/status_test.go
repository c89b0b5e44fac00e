package browsers

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/middleware/status"
	"github.com/lastcall-go/lastcall/policy"
)

// A watched server has event streams under /rooms/, handlers that ignore their context, and the
// status page on a port of its own.
type watched struct {
	d         *middleware.Drainer
	page      string // the URL of the status page
	url       string
	client    *http.Client
	responses sync.WaitGroup
	release   chan struct{} // closed for the handlers that are stuck
	never     chan struct{} // nil
	mu        sync.Mutex    // is held while they are stuck
}

func watch(t *testing.T, d *middleware.Drainer) *watched {
	t.Helper()
	s := &watched{d: d, release: make(chan struct{}), client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rooms/{id}", func(w http.ResponseWriter, r *http.Request) {
		begin(w)
		<-r.Context().Done()
	})
	mux.HandleFunc("GET /export/{id}", func(w http.ResponseWriter, _ *http.Request) { begin(w); s.export() })
	mux.HandleFunc("GET /board", func(w http.ResponseWriter, _ *http.Request) { begin(w); s.lock() })
	mux.HandleFunc(`GET /<img src=x onerror="hacked=1">/`, func(w http.ResponseWriter, _ *http.Request) { begin(w); s.subscribe() })
	s.mu.Lock()
	srv := httptest.NewUnstartedServer(middleware.Graceful(d)(mux))
	srv.Config.ConnContext = d.ConnContext
	srv.Config.ErrorLog = harness.NoLog
	srv.Start()
	admin := httptest.NewServer(status.Handler(d))
	s.url, s.page = srv.URL, admin.URL
	t.Cleanup(func() {
		s.mu.Unlock()
		close(s.release)
		_ = d.Close()
		s.responses.Wait()
		srv.Close()
		admin.CloseClientConnections()
		admin.Close()
	})
	return s
}

func begin(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, "data: hello\n\n")
	_ = http.NewResponseController(w).Flush()
}

// These are where a handler is stuck.

func (s *watched) export() { <-s.release }

func (s *watched) lock() {
	s.mu.Lock()
	defer s.mu.Unlock()
}

func (s *watched) subscribe() {
	select {
	case <-s.release:
	case <-s.never:
	}
}

// open opens a response and has it read to its end.
func (s *watched) open(t *testing.T, path string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, s.url+path, nil)
	require.NoError(t, err)
	req.Header.Set("Accept", "text/event-stream")
	res, err := s.client.Do(req)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode)
	s.responses.Go(func() {
		_, _ = io.Copy(io.Discard, res.Body) // it may be cut
		res.Body.Close()
	})
}

// The page shows 500 streams before, during and after a drain, which three of them hold up: these
// it names, with the line in which each waits.
func TestStatusPageNamesWhoIsStuck(t *testing.T) {
	t.Parallel()
	chromium(t)
	s := watch(t, &middleware.Drainer{
		Policy: policy.Rule{Spread: time.Second, Timeout: policy.AtOnce, Mercy: patience},
		Budget: policy.Budget{Total: 2 * patience},
	})
	s.open(t, "/board")
	s.open(t, "/export/2026?format=csv")
	s.open(t, "/%3Cimg%20src=x%20onerror=%22hacked=1%22%3E/%3Cscript%3Ehacked=1%3C/script%3E")
	for n := range 497 {
		s.open(t, fmt.Sprintf("/rooms/%d", n%40))
	}
	p := open(t, s.page)
	p.do(byID)
	p.until(`document.querySelector("h1").textContent === "serving: 500 open"`)
	p.shoot("before")

	drained := make(chan error, 1)
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	go func() { drained <- s.d.Shutdown(ctx) }()
	p.until(`document.title.startsWith("draining: ") || document.title.startsWith("canceling: ")`)
	p.shoot("during")
	p.until(`document.querySelectorAll(".stuck").length === 3 && document.querySelector("h1").textContent === "canceling: 3 open"`)
	p.until(`[...document.querySelectorAll(".stuck")].every((e) => e.innerText.includes("status_test.go:"))`)
	stuck := value[[]string](p, `[...document.querySelectorAll(".stuck")].map((e) => e.innerText)`)
	named := func(stuck []string) {
		t.Helper()
		text := strings.Join(stuck, "\n")
		for _, want := range []string{
			"GET /board\n", `browsers\.\(\*watched\)\.lock \(status_test\.go:\d+\)`, "sync.Mutex.Lock",
			`GET /export/2026 \(pattern GET /export/{id}\)`, `chan receive at browsers\.\(\*watched\)\.export \(status_test\.go:\d+\)`,
			"script", `select at browsers\.\(\*watched\)\.subscribe \(status_test\.go:\d+\)`,
		} {
			assert.Regexp(t, want, text)
		}
	}
	named(stuck)
	p.shoot("stuck")
	p.until(`byId("status").innerText.includes("497 told")`)

	giveUp()
	assert.Error(t, <-drained)
	p.until(`document.querySelector("h1").textContent === "done: 0 open"`)
	p.shoot("after")
	stuck = value[[]string](p, `[...document.querySelectorAll(".stuck")].map((e) => e.innerText)`)
	assert.Len(t, stuck, 3)
	named(stuck)
	assert.Equal(t, "undefined", value[string](p, `typeof window.hacked`), "what clients send is text")
	assert.Zero(t, value[int](p, `document.querySelectorAll("#status script, #status img").length`))
}

// The page has its numbers without JavaScript, and keeps them up to date. On a phone it doesn't
// scroll sideways.
func TestStatusPageWithoutJavaScript(t *testing.T) {
	t.Parallel() // it mostly waits for the page to reload
	chromium(t)
	s := watch(t, new(middleware.Drainer))
	s.open(t, "/rooms/1")
	s.open(t, "/%3Cimg%20src=x%20onerror=%22hacked=1%22%3E/"+strings.Repeat("unbroken", 20))
	p := open(t, "about:blank")
	p.command(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
	p.command(chromedp.Navigate(s.page))
	heading := func() string {
		limited, cancel := context.WithTimeout(p.ctx, patience)
		defer cancel()
		html, _ := chromedp.Run(limited, chromedp.OuterHTML("h1")) // fails while the page is loaded again
		return html
	}
	assert.Eventually(t, func() bool { return heading() == "<h1>serving: 2 open</h1>" }, patience, pollEvery)
	s.open(t, "/rooms/2")
	assert.Eventually(t, func() bool { return heading() == "<h1>serving: 3 open</h1>" }, patience, pollEvery)

	p.command(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{})
		return err
	}))
	p.command(chromedp.Navigate(s.page))
	for _, width := range []int64{320, 360, 1200} {
		p.command(chromedp.EmulateViewport(width, 740))
		assert.LessOrEqual(t, value[int64](p, `document.documentElement.scrollWidth`), width)
	}
}

func (p *page) command(a chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	limited, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	require.NoError(p.t, chromedp.Do(limited, a))
}

// shoot writes pictures of the page, to be looked at, into the folder $LASTCALL_PICTURES if that is
// set: on a desk by day and by night, and on a phone.
func (p *page) shoot(name string) {
	p.t.Helper()
	folder := os.Getenv("LASTCALL_PICTURES")
	if folder == "" {
		return
	}
	for _, look := range []struct {
		name          string
		width, height int64
		scheme        string
	}{{"light", 1200, 800, "light"}, {"dark", 1200, 800, "dark"}, {"phone", 360, 740, "light"}} {
		p.command(chromedp.EmulateViewport(look.width, look.height))
		p.command(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: look.scheme}},
			})
			return err
		}))
		picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
		require.NoError(p.t, err)
		require.NoError(p.t, os.WriteFile(filepath.Join(folder, name+"-"+look.name+".png"), picture, 0o600))
	}
}
