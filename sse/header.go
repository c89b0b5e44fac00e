package sse

import (
	"net/http"
	"strings"
	"time"
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
			var one string
			one, accept = cut(accept, ',')
			mediaRange, params := cut(one, ';')
			if strings.EqualFold(strings.TrimSpace(mediaRange), mediaType) && !weighsZero(params) {
				return true
			}
		}
	}
	return false
}

// Refuse answers an EventSource while the server shuts down: with status 200 and an event stream of
// only a retry field, or if retry is zero or less, of nothing. Nothing may have been written to w
// before. It ignores write errors, and keeps a Content-Encoding: whoever set it is to encode.
//
// After another status an EventSource doesn't come back, whatever Retry-After says (WHATWG HTML
// 9.2.3), nor does one of another origin if Access-Control-Allow-Origin wasn't set before.
func Refuse(w http.ResponseWriter, retry time.Duration) {
	h := w.Header()
	h.Del("Content-Length")
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	if b := (Event{Retry: retry}).Append(nil); len(b) > 0 {
		_, _ = w.Write(b)
	}
}

// weighsZero reports whether the parameters of a media range give it a weight of zero.
func weighsZero(params string) bool {
	for params != "" {
		var param string
		param, params = cut(params, ';')
		name, weight, _ := strings.Cut(param, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			weight = strings.TrimSpace(weight)
			return strings.HasPrefix(weight, "0") && strings.Trim(weight[1:], ".0") == ""
		}
	}
	return false
}

// cut is strings.Cut, but skips separators in quoted strings (RFC 9110 5.6.4).
func cut(v string, sep byte) (before, after string) {
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
