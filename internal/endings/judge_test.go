package endings

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// right says for each outcome what is wrong with what the client saw, "" if it is what that outcome
// promises. It is asked of clients that stayed to the end. This is the only place that knows what
// an outcome means.
var right = map[tracked.Outcome]func(x *exchange, v *view) string{
	tracked.Completed: func(x *exchange, v *view) string {
		switch {
		case v.text.farewell:
			return "completed, with a farewell"
		case x.upgraded(v):
			// What answers a Close may reach a connection that is closed, and is answered by a
			// reset.
			return must((v.end == clean || v.code != 0) && v.text.units == x.wrote, "completed, but not all of it came")
		case x.panicked:
			// To a client of HTTP/1.0 net/http's own close looks like any end, wrapped or not.
			return must(v.end != clean || x.length && x.wroteLast || x.proto == "1.0", "completed by a panic, and the end is clean")
		case x.length && !x.wroteLast && x.began:
			return must(v.end != clean, "completed, shorter than declared, and the end is clean")
		}
		return x.whole(v)
	},
	tracked.Told: func(x *exchange, v *view) string {
		switch {
		case !v.text.farewell:
			return "told, but without a farewell"
		case x.upgrade == "websocket":
			return must(v.answered, "told, but the farewell was not answered")
		case !x.inItsWords(v):
			return "told, but not in the handler's words"
		case x.endsBroken(true):
			return "told, but not broken"
		}
		return must(v.end == clean, "told, and the end isn't clean")
	},
	tracked.ToldBroken: func(x *exchange, v *view) string {
		switch {
		case !v.text.farewell && !(x.proto == "1.0" && (x.reads.slow() || x.hurried(v))): // a reset destroys what hasn't been read
			return "told and broken, but without a farewell"
		case v.end == clean && !(x.proto == "1.0" && x.noConn): // without the connection it can't be reset
			return "told and broken, and the end is clean"
		case v.text.farewell && !x.inItsWords(v):
			return "told and broken, but not in the handler's words"
		case !x.endsBroken(true):
			return must(x.panicked, "told and broken, though it was to end clean")
		}
		return must(x.real || x.reads.slow() || v.ended.Sub(v.told) >= 200*time.Millisecond || x.hurried(v), "broken right behind the farewell")
	},
	tracked.Unanswered: func(x *exchange, v *view) string {
		switch {
		case x.upgrade != "websocket":
			return "unanswered, and is no WebSocket"
		case x.reads.slow():
			return "" // the farewell is on its way to who doesn't read, and the connection's end may destroy it
		}
		// In real time a moment may be too short even for who answers at once.
		return must(v.text.farewell && !(v.answered && x.reads.answers == 0 && !(x.real && (x.hurried(v) || x.readsEnded(v)))), "unanswered, but the client was not told, or has answered at once")
	},
	tracked.Canceled: func(x *exchange, v *view) string {
		switch {
		case x.upgraded(v):
			return must(!v.text.farewell, "canceled, with a farewell")
		case !x.began && !x.panicked:
			return x.sentAway(v)
		case v.text.farewell:
			return "canceled, with a farewell"
		case x.panicked && !x.began, x.length && !x.wroteLast:
			return must(v.end != clean, "canceled, shorter than declared or by a panic, and the end is clean")
		case !x.stream():
			return x.whole(v)
		case x.length && v.end == clean: // its declared length was reached: there is nothing left to break off
			return ""
		case x.endsBroken(false), x.speaks == "lines" && v.text.rest != "":
			return must(v.end != clean || x.proto == "1.0" && x.noConn, "a canceled stream whose client is to be broken off, and the end is clean")
		case x.panicked && !x.aborts:
			return must(v.end != clean || x.proto == "1.0", "canceled by a panic, and the end is clean")
		}
		return must(v.end == clean, "a canceled stream whose end isn't clean") // some may have been swallowed, where its farewell would be
	},
	tracked.Cut: func(x *exchange, v *view) string {
		switch {
		case x.upgrade != "":
			return must(!v.text.farewell, "cut, with a farewell")
		}
		return must(v.end != clean || x.length && x.wroteLast || x.proto == "1.0" && x.noConn, "cut, and the end is clean")
	},
}

// hurried reports whether the cut came, or Close was called, before the client had its time for the
// farewell.
func (x *exchange) hurried(v *view) bool {
	m, _ := x.response.Moments()
	return !v.ended.Before(m.Cut) || !x.closedAt.IsZero() && !v.ended.Before(x.closedAt)
}

// readsEnded reports whether the client's side ended when an HTTP/2 WebSocket's reads had: halfway
// from the cancel to the cut.
func (x *exchange) readsEnded(v *view) bool {
	m, _ := x.response.Moments()
	return x.proto == "2" && !v.ended.Before(m.Cancel.Add(m.Cut.Sub(m.Cancel)/2))
}

func (x *exchange) upgraded(v *view) bool {
	return x.upgrade != "" && v.status == map[string]int{"1.1": http.StatusSwitchingProtocols, "2": http.StatusOK}[x.proto]
}

// farewell is the rule's, with what the handler's own has over it.
func (x *exchange) farewell() policy.Farewell {
	f := x.rule.Farewell
	if x.own != nil && !x.ownPanics && x.own.Validate() == nil {
		f = policy.Rule{Farewell: *x.own}.Over(x.rule).Farewell
	}
	return f
}

// inItsWords reports whether an event stream's farewell has the data that its handler gave.
func (x *exchange) inItsWords(v *view) bool {
	f := x.farewell()
	return x.speaks != "events" || f.Send != policy.SendAll || f.Data == "" || strings.HasSuffix(v.body, "data: "+f.Data+"\n\n")
}

func (x *exchange) stream() bool { return x.response.Kind() == policy.Infinite }

// endsBroken reports whether the client of a stream is broken off in the end.
func (x *exchange) endsBroken(told bool) bool {
	switch x.rule.Ending {
	case policy.CleanEnding:
		return false
	case policy.BrokenEnding:
		return true
	}
	return (told && x.farewell().Code != 1000 || !told && x.accept != "") && !x.eventSource()
}

// accepts reports whether the request asks for an event stream in a way that the drain's own answer
// is one.
func (x *exchange) accepts() bool { return x.method == http.MethodGet && x.accept != "" }

func (x *exchange) eventSource() bool { return x.accepts() && x.accept == "eventsource" }

func must(ok bool, fault string) string {
	if ok {
		return ""
	}
	return fault
}

// whole says what is missing of a response that its handler has ended in order.
func (x *exchange) whole(v *view) string {
	switch {
	case v.end != clean:
		return "its end is " + v.end.String()
	case v.text.units != x.wrote || v.text.last != x.wroteLast:
		return "not all that the handler wrote came"
	case x.began && v.status != max(x.status, http.StatusOK):
		return "another status than the handler's"
	}
	return ""
}

var retryAlone = regexp.MustCompile(`^retry: \d+\n\n$`)

// sentAway says what is wrong with the drain's own answer, which asks the client to come back.
func (x *exchange) sentAway(v *view) string {
	// HTTP/1.0 closes by default: net/http leaves the field out once it serves no second request.
	closes := x.proto == "2" && v.goAway || v.header.Get("Connection") == "close" || x.proto == "1.0" && v.header.Get("Connection") == ""
	switch {
	case v.left, x.runs == 0 && v.end != clean && (x.late || x.reads.slow()): // nobody waits for a refusal
		return ""
	case x.upload > 0 && v.end != clean && (x.proto == "1.0" || x.reads.slow() || x.spent):
		return "" // net/http closes under what it hasn't read, and a reset may destroy the answer
	case x.runs == 0 && x.refusal:
		return must(v.status == refusalStatus && (v.body == refusalText || x.method == http.MethodHead) && v.end == clean && closes,
			"not refused as the Drainer's Refusal does")
	case x.accepts():
		return must(v.status == http.StatusOK && v.header.Get("Content-Type") == "text/event-stream" && retryAlone.MatchString(v.body) &&
			(v.end == broken && v.header.Get("Connection") == "" && !x.eventSource() || v.end == clean && closes && x.eventSource() || x.proto == "1.0"),
			"sent away, not as event streams are")
	}
	return must(v.status == http.StatusServiceUnavailable && v.header.Get("Retry-After") != "" &&
		v.end == clean && closes, "sent away, without a 503 that says when to come back")
}

// judge compares what both sides say of an exchange. It returns what contradicts, or "".
func (x *exchange) judge() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	v := &x.view
	switch {
	case !v.done:
		return "the client still waits"
	case v.fault != "":
		return "strict parser: " + v.fault
	case errors.Is(v.err, errStrict):
		return v.err.Error()
	case errors.Is(v.err, errShort) && x.runs > 0 && x.response.Canceled() && x.canceled:
		return "a response that was canceled has a clean end before its declared length"
	case v.untaken && x.seen > 0:
		return "GOAWAY says that it wasn't taken, but it was"
	case x.seen == 0:
		return must(v.end == nothing, "a response to a request that the server hasn't seen")
	case x.seen > 1 || x.runs > 1:
		return fmt.Sprintf("seen %d times, ran %d times", x.seen, x.runs)
	case x.deadAt != "" && !x.leaves && !v.left && !x.headSent(v):
		return "a context that nobody but net/http ended, at " + x.deadAt
	case x.runs == 0:
		return x.sentAway(v)
	}
	outcome, ended := x.response.Outcome()
	if !ended {
		return "no outcome"
	}
	if x.method == http.MethodHead {
		return x.judgeHead(v, outcome)
	}
	if fault := x.falseEnding(v); fault != "" {
		return fmt.Sprintf("outcome %d: %s", outcome, fault)
	}
	if v.left || x.stopped(v) {
		return ""
	}
	if fault := right[outcome](x, v); fault != "" {
		return fmt.Sprintf("outcome %d: %s", outcome, fault)
	}
	return ""
}

// stopped reports whether the client wasn't reading when Graceful was done with the response, so
// that nobody could know what became of the bytes that were in net/http's buffers, or in those of
// the kernel, when the server closed the connection.
func (x *exchange) stopped(v *view) bool {
	switch {
	case v.end == clean && x.proto != "1.0":
		return false
	case x.reads.stuck > 0 && v.readsFrom.After(x.endedAt) && (x.proto == "2" || x.endedAt.Before(x.draining)):
		return true // of HTTP/2 all streams' last frames are in one queue, which the connection's end empties
	case !x.reads.slow() || !x.late || !x.returned:
		return false
	}
	// The drain waited for no end, a middleware outside of Graceful has it, all of it is so short
	// that net/http sends it with its length, or what is missing is the end itself, which net/http
	// writes when the handler has returned.
	if x.stream() || v.text.last {
		return true
	}
	return x.endedAt.Before(x.draining) || x.middleOut == "buffer" || x.flush == 0 && !x.canceled && x.written() <= 4096
}

// written is how many bytes of a body the handler has written.
func (x *exchange) written() (n int) {
	s := speeches[x.speaks]
	for i := range x.wrote {
		n += len(s.unit(i, x.size))
	}
	return n + len(s.last)
}

// headSent reports whether the client of a HEAD has all, with the header, or whether net/http has
// ended the stream with it: the context ends then, though the handler may go on.
func (x *exchange) headSent(v *view) bool {
	return x.method == http.MethodHead && (v.end == clean || x.proto == "2")
}

// judgeHead judges a HEAD, whose header says all.
func (x *exchange) judgeHead(v *view, outcome tracked.Outcome) string {
	switch {
	case len(v.body) > 0:
		return "a body behind the header of a HEAD"
	case v.left, x.stopped(v):
		return ""
	case outcome == tracked.Canceled && !x.began && !x.panicked:
		return x.sentAway(v)
	case v.end == clean && x.began && v.status != max(x.status, http.StatusOK):
		return fmt.Sprintf("outcome %d: a HEAD with another status than the handler's", outcome)
	}
	return must(v.end == clean || outcome != tracked.Completed || x.panicked, "completed, but the header of a HEAD didn't come")
}

// falseEnding says what no client may see, whatever the outcome.
func (x *exchange) falseEnding(v *view) string {
	s := speeches[x.speaks]
	switch {
	case !x.began || v.status >= 300 && v.status != x.status:
		return "" // it is the drain's answer
	case x.proto == "1.0" && (x.noConn || x.stopped(v) || x.panicked && (x.response.Kind() == policy.Infinite || !x.canceled)):
		// Such a client takes any end but a reset for a clean one. Without the connection the drain
		// can't reset it, and behind the handler's own panic, or the drain, nobody does.
		return ""
	case v.text.rest != "" && x.upgrade == "" && v.end == clean:
		return "a clean end behind a torn unit, or something strange in the body"
	case v.text.rest != "" && x.upgrade == "" && !s.torn(v.text, x.size) && !strings.HasPrefix("retry: ", v.text.rest[:min(7, len(v.text.rest))]) && !strings.HasPrefix("--b", v.text.rest[:min(3, len(v.text.rest))]):
		return "something strange in the body"
	case v.text.units > x.wrote+1:
		return "more than the handler wrote"
	case v.end == clean && x.upgrade == "" && x.response.Kind() != policy.Infinite && !x.wroteLast && x.response.Canceled() && x.canceled && !x.beganLate && !v.text.farewell && !x.listens:
		return "a body that was cut short looks complete"
	}
	return ""
}
