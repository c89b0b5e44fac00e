package status_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/middleware/status"
	"github.com/lastcall-go/lastcall/policy"
)

// crowd has handlers under d called for requests that stay open until the drain or leave.
type crowd struct {
	handler http.Handler
	all     sync.WaitGroup
}

func (c *crowd) open(r *http.Request) {
	begun := make(chan struct{})
	c.all.Go(func() {
		defer func() { _ = recover() }()
		close(begun)
		c.handler.ServeHTTP(httptest.NewRecorder(), r)
	})
	<-begun
	synctest.Wait()
}

// streams is a server with event streams, and with a handler that is stuck until release is closed.
func streams(d *middleware.Drainer, release <-chan struct{}) *crowd {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /rooms/{id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: hello\n\n")
		<-r.Context().Done()
	})
	mux.HandleFunc("/<b>stuck</b>/{x}", func(http.ResponseWriter, *http.Request) { stuck(release) })
	return &crowd{handler: middleware.Graceful(d)(mux)}
}

func stuck(release <-chan struct{}) { <-release }

func get(h http.Handler, target, accept string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, target, nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	h.ServeHTTP(w, r)
	return w
}

// What is open, how the drain goes and who is stuck where is on the page, without JavaScript, and
// in the JSON.
func TestPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Grace: time.Second, Mercy: 10 * time.Second, Timeout: policy.AtOnce}}
		h := status.Handler(d)
		assert.Contains(t, get(h, "/", "").Body.String(), "Nothing is open.")
		release := make(chan struct{})
		c := streams(d, release)
		for n := range 3 {
			c.open(httptest.NewRequest(http.MethodGet, fmt.Sprintf("/rooms/%d", n), nil))
			time.Sleep(5 * time.Second)
		}
		c.open(httptest.NewRequest(http.MethodGet, "/%3Cb%3Estuck%3C/b%3E/%22%3E%3Cscript%3E", nil))
		page := get(h, "/", "text/html,*/*").Body.String()
		for _, want := range []string{
			"<h1>serving: 4 open</h1>", "<li>1 finite</li>", "<li>3 event streams</li>", "<small>1 under 1 s</small>", "<small>2 under a minute</small>",
			`<code>GET /rooms/{id}</code><meter min="0" max="3" value="3"></meter></td><td class="k">infinite sse</td><td class="n">3</td>`,
			`<code>GET /rooms/0 (pattern GET /rooms/{id})</code></td><td class="k">infinite sse</td><td class="n">15s</td>`, "4 of 4",
		} {
			assert.Contains(t, page, want)
		}
		assert.NotContains(t, page, "<svg", "no drain, no timeline")

		d.Start()
		synctest.Wait()
		time.Sleep(3 * time.Second)
		page = get(h, "/", "").Body.String()
		for _, want := range []string{
			"<h1>canceling: 1 open</h1>", "Start was called", "3s since it began, 22s left.", "Found 4, 0 came later, 3 told, 3 ended, 0 refused.",
			"<li>3 told</li>", "Waiting for", "chan receive", "status_test.stuck (status_test.go:", "<pre>goroutine ", `class="told" points="0,100 150,100.0 300,25.0`,
		} {
			assert.Contains(t, page, want)
		}
		var s struct {
			Report middleware.Report
			Total  int
			Open   []middleware.ResponseInfo
		}
		w := get(h, "/", "application/json")
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &s))
		assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
		assert.Equal(t, 1, s.Total)
		assert.Equal(t, middleware.Canceling, s.Report.Phase)
		require.Len(t, s.Open, 1)
		assert.Equal(t, s.Report.Waiting[0].Route, s.Open[0].Route)
		assert.Error(t, d.Close())
		page = get(h, "/", "").Body.String()
		assert.Contains(t, page, "<h1>done: 0 open</h1>")
		assert.Contains(t, page, "<h2>Cut</h2>")
		close(release)
		c.all.Wait()
	})
}

// What clients put into their paths, and programs into their patterns, is text on the page.
func TestPageEscapes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{RedactRemote: func(string) string { return `"><script>addr` }}
		release := make(chan struct{})
		c := streams(d, release)
		c.open(&http.Request{
			Method: `<script>method`, URL: httptest.NewRequest(http.MethodGet, "/%3Cb%3Estuck%3C/b%3E/x", nil).URL,
			RequestURI: `/<script>alert(1)</script>"'>` + "\x1b\n" + `</pre></code>{{.}}`, Header: http.Header{},
		})
		for _, target := range []string{"/", "/?sort=route"} {
			page := get(status.Handler(d), target, "").Body.String()
			assert.Equal(t, 1, strings.Count(page, "<script"), "the page's own")
			for _, bad := range []string{"<b>", "alert(1)</script>", "\x1b", "</pre></code>", `"><script>`} {
				assert.NotContains(t, page, bad)
			}
			assert.Contains(t, page, "&lt;script&gt;alert(1)&lt;/script&gt;")
		}
		w := get(status.Handler(d), "/", "")
		csp := w.Header().Get("Content-Security-Policy")
		assert.Contains(t, csp, "default-src 'none'")
		assert.NotContains(t, csp, "unsafe")
		assert.NotContains(t, w.Body.String(), "http://", "nothing from elsewhere")
		assert.NotContains(t, w.Body.String(), "https://")
		close(release)
		c.all.Wait()
		assert.NoError(t, d.Shutdown(t.Context()))
	})
}

func TestHandlerRefuses(t *testing.T) {
	h := status.Handler(new(middleware.Drainer))
	for target, want := range map[string]string{
		"/?sort=size": "sort must be", "/?limit=1001": "limit must be", "/?offset=-1": "offset must be", "/?limit=x": "limit must be",
	} {
		w := get(h, target, "")
		assert.Equal(t, 400, w.Code, target)
		assert.Contains(t, w.Body.String(), want)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	assert.Equal(t, 405, w.Code)
	assert.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
}

// As an event stream the status comes as it changes, until the drain is over, and as the part of
// the page that changes, on one line.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Grace: time.Second, Timeout: policy.AtOnce}}
		c := streams(d, nil)
		c.open(httptest.NewRequest(http.MethodGet, "/rooms/1", nil))
		net := memnet.New()
		srv := &http.Server{Handler: status.Handler(d)}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(net) }()
		client := &http.Client{Transport: &http.Transport{DialContext: net.Dial}}
		read := func(query string) <-chan []string {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://memory/"+query, nil)
			require.NoError(t, err)
			req.Header.Set("Accept", "text/event-stream")
			res, err := client.Do(req)
			require.NoError(t, err)
			assert.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
			got := make(chan []string, 1)
			go func() {
				defer res.Body.Close()
				var data []string
				for lines := bufio.NewScanner(res.Body); lines.Scan(); {
					if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
						data = append(data, text)
					}
				}
				got <- data
			}()
			return got
		}
		all, pages := read(""), read("?page")
		synctest.Wait()
		time.Sleep(1500 * time.Millisecond)
		d.Start()
		time.Sleep(3 * time.Second)
		var reports []middleware.Report
		for _, text := range <-all {
			var s struct{ Report middleware.Report }
			require.NoError(t, json.Unmarshal([]byte(text), &s))
			reports = append(reports, s.Report)
		}
		assert.InDelta(t, 2+13, len(reports), 2)
		assert.Equal(t, middleware.Serving, reports[0].Phase)
		assert.Equal(t, middleware.Done, reports[len(reports)-1].Phase)
		fragments := <-pages
		assert.InDelta(t, 2+6, len(fragments), 2)
		var first, last string
		require.NoError(t, json.Unmarshal([]byte(fragments[0]), &first))
		require.NoError(t, json.Unmarshal([]byte(fragments[len(fragments)-1]), &last))
		assert.Contains(t, first, "<h1>serving: 1 open</h1>")
		assert.Contains(t, last, "<h1>done: 0 open</h1>")
		c.all.Wait()
		client.CloseIdleConnections()
		_ = srv.Close()
		<-served
	})
}
