package sse_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/sse"
)

func TestAccepts(t *testing.T) {
	for _, c := range []struct {
		name   string
		accept []string
		want   bool
	}{
		{"none", nil, false},
		{"empty", []string{""}, false},
		{"EventSource", []string{"text/event-stream"}, true},
		{"case and spaces", []string{" TEXT/Event-Stream "}, true},
		{"anything", []string{"*/*"}, false},
		{"any text", []string{"text/*"}, false},
		{"navigation", []string{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, false},
		{"second of two", []string{"application/json, text/event-stream"}, true},
		{"second line", []string{"application/json", "text/event-stream"}, true},
		{"empty elements", []string{",, text/event-stream,"}, true},
		{"weight", []string{"text/event-stream;q=0.001"}, true},
		{"weight behind a parameter", []string{"text/event-stream;charset=utf-8;q=1"}, true},
		{"weight of zero", []string{"text/event-stream;q=0"}, false},
		{"weight of zero, long", []string{"text/event-stream ; Q=0.000 , text/html"}, false},
		{"weight of zero behind a parameter", []string{"text/event-stream;charset=utf-8; q=0.0"}, false},
		{"zero elsewhere", []string{"text/html;q=0, text/event-stream"}, true},
		{"not q", []string{"text/event-stream;qq=0"}, true},
		{"zero in a quoted string", []string{`text/event-stream;a=";q=0"`}, true},
		{"zero behind a quoted string", []string{`text/event-stream;a="\";";q=0`}, false},
		{"named in a quoted string", []string{`text/html;a=",text/event-stream,"`}, false},
		{"behind a quoted string", []string{`text/html;a="\",",text/event-stream`}, true},
		{"unfinished quoted string", []string{`text/html;a="\`, "text/event-stream"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header["Accept"] = c.accept
			assert.Equal(t, c.want, sse.Accepts(r))
			for _, method := range []string{http.MethodPost, http.MethodHead, http.MethodOptions} {
				r.Method = method
				assert.False(t, sse.Accepts(r), method)
			}
		})
	}
}

func TestAcceptsAllocatesNothing(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["Accept"] = []string{`application/json;a="b,c";q=0.5, text/event-stream;charset=utf-8;q=0.5`}
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		if !sse.Accepts(r) {
			panic("not recognized")
		}
	}))
}

func TestRefuse(t *testing.T) {
	for _, c := range []struct {
		name  string
		retry time.Duration
		body  string
	}{
		{"slot", 2345 * time.Millisecond, "retry: 2345\n\n"},
		{"no slot", 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Length", "999")
			w.Header().Set("Access-Control-Allow-Origin", "*")
			sse.Refuse(w, eventSource(), c.retry)

			assert.Equal(t, http.StatusOK, w.Code)
			assert.Equal(t, c.body, w.Body.String())
			assert.Equal(t, http.Header{
				"Content-Type":                {"text/event-stream"},
				"Cache-Control":               {"no-store"},
				"Access-Control-Allow-Origin": {"*"},
				"Content-Encoding":            {"gzip"}, // which somebody around does
			}, w.Result().Header)
		})
	}
}

// Who comes back with the id of its last event is given that again.
func TestRefuseRepeatsTheLastEventID(t *testing.T) {
	r := eventSource()
	r.Header.Set("Last-Event-ID", "7")
	w := httptest.NewRecorder()
	sse.Refuse(w, r, time.Second)
	assert.Equal(t, "id: 7\nretry: 1000\n\n", w.Body.String())
	w = httptest.NewRecorder()
	sse.Refuse(w, r, 0)
	assert.Empty(t, w.Body.String())
}

// A client of the Model Context Protocol comes back behind a clean end, as go-sdk's does, whose
// requests look like those of a loop.
func TestRefuseEndsCleanlyForMCP(t *testing.T) {
	for _, header := range []string{"Mcp-Session-Id", "Mcp-Protocol-Version"} {
		r := httptest.NewRequest(http.MethodGet, "/mcp", nil)
		r.Header = http.Header{"Accept": {"text/event-stream"}, "User-Agent": {"Go-http-client/1.1"}, header: {"x"}}
		w := httptest.NewRecorder()
		sse.Refuse(w, r, time.Second) // would panic
		assert.Equal(t, "retry: 1000\n\n", w.Body.String())
	}
}

func eventSource() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/events", nil)
	r.Header = http.Header{"Accept": {"text/event-stream"}, "Cache-Control": {"no-cache"}, "User-Agent": {"Mozilla/5.0"}}
	return r
}

func TestFromEventSource(t *testing.T) {
	assert.True(t, sse.FromEventSource(eventSource()))
	for name, change := range map[string]func(*http.Request){
		"a POST":                  func(r *http.Request) { r.Method = http.MethodPost },
		"more types":              func(r *http.Request) { r.Header.Set("Accept", "text/event-stream, text/html") },
		"no type":                 func(r *http.Request) { r.Header.Del("Accept") },
		"without Cache-Control":   func(r *http.Request) { r.Header.Del("Cache-Control") },
		"Go's own client":         func(r *http.Request) { r.Header.Set("User-Agent", "Go-http-client/1.1") },
		"Go's own, over HTTP/2":   func(r *http.Request) { r.Header.Set("User-Agent", "Go-http-client/2.0") },
		"another cache directive": func(r *http.Request) { r.Header.Set("Cache-Control", "no-store") },
	} {
		r := eventSource()
		change(r)
		assert.False(t, sse.FromEventSource(r), name)
	}
}

// Whoever is no EventSource gets the retry field, and 200 ms to read it, and then a break.
func TestRefuseBreaksOffWhoIsNoEventSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := eventSource()
		r.Header.Set("Accept", "text/event-stream, text/html, application/json")
		w := httptest.NewRecorder()
		w.Header().Set("Connection", "close")
		began := time.Now()
		assert.PanicsWithValue(t, http.ErrAbortHandler, func() { sse.Refuse(w, r, time.Second) })
		assert.Equal(t, 200*time.Millisecond, time.Since(began))
		assert.Equal(t, http.StatusOK, w.Code)
		assert.True(t, w.Flushed)
		assert.Equal(t, "retry: 1000\n\n", w.Body.String())
		assert.Empty(t, w.Result().Header.Get("Connection"))
	})
}
