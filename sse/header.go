package sse

import (
	"net/http"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
)

const mediaType = "text/event-stream"

// Accepts reports whether r asks for an event stream, as an EventSource does: a GET whose Accept
// names text/event-stream with a weight above 0 (RFC 9110 12.4.2, 12.5.1). Wildcards don't count:
// every browser's navigation sends one.
func Accepts(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	for _, accept := range r.Header["Accept"] {
		for accept != "" {
			var element string
			element, accept = cutUnquoted(accept, ',')
			mediaRange, params := cutUnquoted(element, ';')
			if strings.EqualFold(strings.TrimSpace(mediaRange), mediaType) && !weighsZero(params) {
				return true
			}
		}
	}
	return false
}

// FromEventSource reports whether r comes from an EventSource, which comes back when its stream has
// ended cleanly: a GET with the headers that every EventSource sends, of browsers and of other
// languages' libraries (Accept: text/event-stream alone, Cache-Control: no-cache), and not with the
// User-Agent of Go's own client. Other clients of event streams take a clean end for the last word.
func FromEventSource(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Accept") == mediaType &&
		r.Header.Get("Cache-Control") == "no-cache" && !strings.HasPrefix(r.UserAgent(), "Go-http-client/")
}

// Refuse answers a request that [Accepts] an event stream while the server shuts down, so that its
// client comes back: with status 200 and an event stream of a retry field alone, or if retry is
// zero or less, of nothing. With the field it repeats the client's Last-Event-ID, which MCP's
// go-sdk forgets otherwise. Nothing may have been written to w before. Refuse ignores write errors,
// and keeps a Content-Encoding: whoever set it is to encode.
//
// A request that is not [FromEventSource], nor of the Model Context Protocol's streamable HTTP (it
// has Mcp-Session-Id or Mcp-Protocol-Version), is broken off 200 ms later: Refuse panics with
// [http.ErrAbortHandler], so that net/http closes the HTTP/1 connection or resets the HTTP/2
// stream. Most other clients would take a clean end for the last word. Connection: close is left
// out there, since Node's fetch takes a broken body for whole after it.
//
// After another status an EventSource doesn't come back, whatever Retry-After says (WHATWG HTML
// 9.2.3), nor does one of another origin if Access-Control-Allow-Origin wasn't set before.
func Refuse(w http.ResponseWriter, r *http.Request, retry time.Duration) {
	clean := FromEventSource(r) || format.IsMCP(r)
	h := w.Header()
	h.Del("Content-Length")
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "no-store")
	if !clean {
		h.Del("Connection")
	}
	w.WriteHeader(http.StatusOK)
	var b []byte
	if id := r.Header.Get("Last-Event-ID"); id != "" && retry > 0 {
		b = append(b, "id: "+id+"\n"...) // a header has no line break that would end the field
	}
	if b = (Event{Retry: retry}).Append(b); len(b) > 0 {
		_, _ = w.Write(b)
	}
	if !clean {
		breakOff(w, r)
	}
}

// breakGap is how long a client has to read what it was sent, which browsers drop when the
// connection breaks right behind it.
const breakGap = 200 * time.Millisecond

// breakOff breaks an answer off, breakGap after what was written. It panics.
func breakOff(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).Flush()
	timer := time.NewTimer(breakGap)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
	panic(http.ErrAbortHandler)
}

// weighsZero reports whether the parameters of a media range give it a weight of zero.
func weighsZero(params string) bool {
	for params != "" {
		var param string
		param, params = cutUnquoted(params, ';')
		name, weight, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			weight = strings.TrimSpace(weight)
			return strings.HasPrefix(weight, "0") && strings.Trim(weight[1:], ".0") == ""
		}
	}
	return false
}

// cutUnquoted slices v around the first sep that is in no quoted string (RFC 9110 5.6.4). Without
// one it returns v and the empty string.
func cutUnquoted(v string, sep byte) (before, after string) {
	quoted := false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == sep && !quoted:
			return v[:i], v[i+1:]
		}
	}
	return v, ""
}
