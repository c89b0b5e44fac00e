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
	case d.replyToCall(w, r, rule):
	case sse.Accepts(r):
		sse.Refuse(w, r, d.slot(rule))
	default:
		d.replyUnavailable(w, rule)
	}
}

// slot returns a reconnect slot for one more client.
func (d *Drainer) slot(rule policy.Rule) time.Duration {
	return rule.Reconnect.Slot(d.lastSlotNumber.Add(1))
}

// replyUnavailable answers that the client should come back later, and when.
func (d *Drainer) replyUnavailable(w http.ResponseWriter, rule policy.Rule) {
	w.Header().Set("Retry-After", format.RetryAfter(d.slot(rule)))
	http.Error(w, d.whyUnavailable(), http.StatusServiceUnavailable)
}

func (d *Drainer) whyUnavailable() string {
	if !d.draining() { // the response's MaxAge, or a Shed, has ended it
		return "this connection is closing; please retry"
	}
	return "the server is shutting down; please retry"
}

// replyToCall is replyUnavailable for a remote procedure call, whose clients repeat it by their
// policy where they are told so in its protocol. It reports false if r is none.
func (d *Drainer) replyToCall(w http.ResponseWriter, r *http.Request, rule policy.Rule) bool {
	if !format.IsCall(r) {
		return false
	}
	answerCall(w, r, policy.Farewell{Reason: d.whyUnavailable()}, d.slot(rule))
	return true
}

// answerCall writes the whole answer to a call.
func answerCall(w http.ResponseWriter, r *http.Request, f policy.Farewell, retry time.Duration) {
	code, body := format.AnswerUnavailable(r, w.Header(), f, retry)
	w.WriteHeader(code)
	if len(body) > 0 {
		_, _ = w.Write(body)
	}
}

// answerCanceled answers in place of a handler that wrote nothing, though its context was canceled.
// It reports whether the answer has to be broken off.
func (x *exchange) answerCanceled() (broken bool) {
	x.clearHeader()
	if x.d.replyToCall(x.w, x.Request(), x.Rule()) {
		return false
	}
	if !sse.Accepts(x.Request()) {
		x.d.replyUnavailable(x.w, x.Rule())
		return false
	}
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			broken = true
		default:
			panic(v)
		}
	}()
	sse.Refuse(x.w, x.Request(), x.d.slot(x.Rule()))
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
