package sse_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
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
			sse.Refuse(w, c.retry)

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
