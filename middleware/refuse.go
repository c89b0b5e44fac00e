package middleware

import (
	"net/http"
	"strconv"
	"time"

	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/sse"
)

// refuse answers a request that came after the drain had stopped admitting.
func (d *Drainer) refuse(w http.ResponseWriter, r *http.Request, rule policy.Rule) {
	w.Header().Set("Connection", "close")
	switch {
	case d.Refusal != nil:
		d.Refusal.ServeHTTP(w, r)
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
	// Whole seconds (RFC 9110, section 10.2.3), rounded up: no client should come before its slot.
	w.Header().Set("Retry-After", strconv.FormatInt(int64((d.slot(rule)+time.Second-1)/time.Second), 10))
	why := "the server is shutting down"
	if !d.draining() { // the response's MaxAge, or a Shed, has ended it
		why = "this connection is closing"
	}
	http.Error(w, why+"; please retry", http.StatusServiceUnavailable)
}

// answerCanceled answers in place of a handler that wrote nothing, though its context was canceled.
// It reports whether the answer has to be broken off. The fields that it deletes describe a body
// that the handler meant to write.
func (x *exchange) answerCanceled() (broken bool) {
	h := x.w.Header()
	for _, name := range []string{"Cache-Control", "Content-Length", "Etag", "Last-Modified", "Trailer"} {
		h.Del(name)
	}
	if !x.outerEncodes {
		h.Del("Content-Encoding")
	}
	h.Set("Connection", "close")
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
