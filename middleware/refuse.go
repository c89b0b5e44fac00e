package middleware

import (
	"net/http"
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/sse"
)

// refuse answers a request that came after the drain had stopped admitting.
func (d *Drainer) refuse(w http.ResponseWriter, r *http.Request, rule policy.Rule) {
	w.Header().Set("Connection", "close")
	switch {
	case d.Refusal != nil:
		d.Refusal.ServeHTTP(w, r)
	case getsEventStream(r):
		sse.Refuse(w, r, d.slot(rule))
	default:
		d.answerUnavailable(w, r, rule)
	}
}

// getsEventStream reports whether a request that isn't served is answered by an event stream: an
// EventSource that meets a 503 never comes back.
func getsEventStream(r *http.Request) bool { return sse.Accepts(r) && !format.IsCall(r) }

// slot returns a reconnect slot for one more client.
func (d *Drainer) slot(rule policy.Rule) time.Duration {
	return rule.Reconnect.Slot(d.lastSlotNumber.Add(1))
}

// answerUnavailable answers that the client should come back later, and when: a remote procedure
// call in its protocol, since its clients repeat it by their policy only then.
func (d *Drainer) answerUnavailable(w http.ResponseWriter, r *http.Request, rule policy.Rule) {
	if format.IsCall(r) {
		answerCall(w, r, policy.Farewell{Reason: d.whyUnavailable()}, d.slot(rule))
		return
	}
	w.Header().Set("Retry-After", format.RetryAfter(d.slot(rule)))
	http.Error(w, d.whyUnavailable(), http.StatusServiceUnavailable)
}

// whyUnavailable returns what a client is told whose request isn't served, or was given up.
func (d *Drainer) whyUnavailable() string {
	if !d.draining() { // the response's MaxAge, or a Shed, has ended it
		return "this connection is closing; please retry"
	}
	return "the server is shutting down; please retry"
}

// answerCanceled answers in place of a handler that wrote nothing after its context was canceled.
// It reports whether the answer has to be broken off, as some of sse.Refuse have, which panics
// then.
func (x *exchange) answerCanceled() (broken bool) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			broken = true
		default:
			panic(v)
		}
	}()
	x.clearHeader()
	if getsEventStream(x.Request()) {
		if !comesBackFromCleanEnd(x.Request()) {
			x.resetHTTP10AtClose() // also if the drain's time is over while Refuse waits
		}
		sse.Refuse(x.w, x.Request(), x.d.slot(x.Rule()))
	} else {
		x.d.answerUnavailable(x.w, x.Request(), x.Rule())
	}
	return false
}

// clearHeader deletes the fields that describe a body which the handler meant to write.
func (x *exchange) clearHeader() {
	h := x.w.Header()
	for _, name := range []string{"Cache-Control", "Content-Length", "Etag", "Last-Modified", "Trailer"} {
		h.Del(name)
	}
	if !x.outerEncodes {
		h.Del("Content-Encoding")
	}
	h.Set("Connection", "close")
}
