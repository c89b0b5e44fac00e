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
			// What answers a Close may reach a connection that is closed, and is answered by a reset.
			return must((v.end == clean || v.code != 0) && v.text.units == x.wrote, "completed, but not all of it came")
		case x.panicked:
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
		case x.endsBroken(true):
			return "told, but not broken"
		}
		return must(v.end == clean, "told, and the end isn't clean")
	},
	tracked.ToldBroken: func(x *exchange, v *view) string {
		switch {
		case x.proto == "1.0" && (x.noConn || x.reads.slow() || x.panicked):
			return "" // the end can't be seen, or the reset that shows it destroys what hasn't been read
		case !v.text.farewell:
			return "told and broken, but without a farewell"
		case v.end == clean:
			return "told and broken, and the end is clean"
		case !x.endsBroken(true):
			return must(x.panicked, "told and broken, though it was to end clean")
		}
		return must(x.real || x.reads.slow() || v.ended.Sub(v.told) >= 200*time.Millisecond || x.panicked || x.hurried(), "broken right behind the farewell")
	},
	tracked.Unanswered: func(x *exchange, v *view) string {
		switch {
		case x.upgrade != "websocket":
			return "unanswered, and is no WebSocket"
		case x.reads.slow():
			return "" // the farewell may still be on its way to it when the connection is closed
		}
		return must(v.text.farewell && !(v.answered && x.reads.answers == 0), "unanswered, but the client was not told, or has answered at once")
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
		case x.length && v.end == clean:
			return "" // nobody can tell any more that it was to be broken off
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
			return ""
		}
		return must(v.end != clean || x.length && x.wroteLast || x.proto == "1.0" && x.noConn, "cut, and the end is clean")
	},
}

// hurried reports whether a stream may be cut so soon that its client has less time for the farewell.
func (x *exchange) hurried() bool {
	short := func(d time.Duration) bool { return d > 0 && d < 500*time.Millisecond }
	return x.stops != "run" || x.beganLate || short(x.rule.Mercy) || x.rule.Grace == policy.ToTheEnd
}

func (x *exchange) upgraded(v *view) bool {
	return x.upgrade != "" && v.status == http.StatusSwitchingProtocols
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
	return (told && x.rule.Farewell.Code != 1000 || !told && x.accepts()) && !x.eventSource()
}

// accepts reports whether the request asks for an event stream.
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
	case v.end != clean && x.middleOut == "buffer":
		return "" // a middleware outside of Graceful had it when the handler's part was over
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
	closes := x.proto == "2" || v.header.Get("Connection") == "close" || x.proto == "1.0" && v.header.Get("Connection") == ""
	switch {
	case v.left, x.runs == 0 && v.end != clean && (x.late || x.reads.slow()): // nobody waits for a refusal
		return ""
	case x.runs == 0 && v.end == nothing && x.behindCut:
		return "" // net/http had read it already when the connection was closed
	case x.upload > 0 && v.end != clean && (x.proto == "1.0" || x.reads.slow()):
		return "" // net/http closes under what it hasn't read, and a reset may destroy the answer
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
	case x.seen == 0:
		return must(v.end == nothing, "a response to a request that the server hasn't seen")
	case x.seen > 1 || x.runs > 1:
		return fmt.Sprintf("seen %d times, ran %d times", x.seen, x.runs)
	case x.deadAt != "" && !x.leaves && !x.behindCut && x.method != http.MethodHead: // whose client has all with the header
		return "a context that nobody but net/http ended, at " + x.deadAt
	case x.runs == 0:
		return x.sentAway(v)
	}
	outcome, ended := x.response.Outcome()
	if !ended {
		return "no outcome"
	}
	if x.method == http.MethodHead {
		return must(len(v.body) == 0, "a body behind the header of a HEAD") // all else is said by its header
	}
	if x.heldBack(v) {
		return ""
	}
	if fault := x.falseEnding(v); fault != "" {
		return fmt.Sprintf("outcome %d: %s", outcome, fault)
	}
	if v.left || x.behindCut && v.end != clean {
		return ""
	}
	if fault := right[outcome](x, v); fault != "" {
		return fmt.Sprintf("outcome %d: %s", outcome, fault)
	}
	return ""
}

// heldBack reports whether the last bytes may have been net/http's to write, in vain: those of an
// HTTP/2 stream wait for a peer that reads nothing, or are on their way as the server is closed
// right behind Shutdown, which it isn't by Run. So do the last few KiB of an HTTP/1 body
// that wasn't flushed, until the connection is closed behind the drain. The handler has returned
// long before.
func (x *exchange) heldBack(v *view) bool {
	if x.proto == "2" {
		return (x.reads.stuck > 0 || x.late && x.stops == "shutdown") && v.end != clean
	}
	return x.reads.slow() && x.late && x.returned && (v.end != clean || x.proto == "1.0")
}

// falseEnding says what no client may see, whatever the outcome.
func (x *exchange) falseEnding(v *view) string {
	s := speeches[x.speaks]
	switch {
	case !x.began || v.status >= 300 && v.status != x.status:
		return "" // it is the drain's answer
	case x.proto == "1.0" && (x.noConn || x.panicked && (x.response.Kind() == policy.Infinite || !x.canceled)):
		return "" // without the connection nothing can be done for a client that takes any end for a clean one
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
