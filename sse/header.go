package sse

import (
	"net/http"
	"strings"
	"time"
)

const mediaType = "text/event-stream"

// Accepts reports whether r comes from an EventSource, or from something like it: a GET whose
// Accept names text/event-stream with a weight above 0 (RFC 9110 12.4.2, 12.5.1). Wildcards don't
// count: every browser's navigation sends one.
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

// Refuse answers an EventSource that comes while the server shuts down: status 200, an event stream
// that says when to come back, and its end. A retry of zero or less leaves that field out, and the
// client keeps the time it has. Nothing may have been written to w before. A write error is not
// reported. A Content-Encoding stays as it is: who has set it encodes what is written here.
//
// The status is never another: an EventSource that gets one doesn't come back, Retry-After or not
// (WHATWG HTML 9.2.3). One of another origin needs Access-Control-Allow-Origin to read this answer:
// what sets that has to stand in front of the refusal.
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

// cut is strings.Cut for a header's value: a separator in a quoted string (RFC 9110 5.6.4) is none.
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
