package sse

import (
	"net/http"
	"strings"
	"time"
)

const mediaType = "text/event-stream"

// Accepts reports whether r comes from an EventSource, or from something like it: a GET whose
// Accept names text/event-stream and doesn't give it the weight 0 (RFC 9110 12.4.2, 12.5.1).
// Wildcards don't count: every browser's navigation sends one. A POST doesn't either; an
// EventSource makes none, and who does can take a 503.
func Accepts(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	for _, accept := range r.Header["Accept"] {
		for accept != "" {
			var one string
			one, accept = cut(accept, ',')
			if isEventStream(one) && !refused(one) {
				return true
			}
		}
	}
	return false
}

// Refuse answers an EventSource that comes while the server goes away: status 200, an event stream
// that says when to come back, and its end. A retry of zero or less leaves out that field, and the
// client keeps the time it has. Nothing may have been written to w before. A write error is not
// reported: there is nobody left to refuse. A Content-Encoding stays as it is: who has set it
// encodes what is written here.
//
// It is never a 503, nor any other status: an EventSource takes all but 200 with this media type
// for final and doesn't come back at all, Retry-After or not (WHATWG HTML 9.2.3). One of another
// origin can't read this answer either without Access-Control-Allow-Origin: what sets that has to
// stand in front of the refusal.
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

// isEventStream reports whether a media type, with or without parameters, is that of an event
// stream.
func isEventStream(v string) bool {
	t, _, _ := strings.Cut(v, ";")
	return strings.EqualFold(strings.TrimSpace(t), mediaType)
}

// refused reports whether a media range of an Accept has a weight of zero.
func refused(one string) bool {
	_, params := cut(one, ';')
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
