package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/request"
)

// A rule is one of docs/drill-rules.md, as far as it can be judged from the wire.
type rule struct{ number, title string }

var rules = []rule{
	{"3.1", "no answer that was cut short looks whole"},
	{"3.2", "answers that are under way are whole"},
	{"3.3", "new requests are refused with 503 and Retry-After"},
	{"3.4", "event streams are not refused with a status"},
	{"3.6", "requests that are half sent are answered"},
	{"4.1", "streams are told before they end"},
	{"4.2", "no event, message or frame is torn"},
	{"4.3", "streams end so that their clients come back"},
	{"4.4", "WebSockets end with a Close frame"},
	{"4.5", "calls that stream end with a status"},
	{"5.2", "clients come back to the next process"},
	{"6.1", "the process ends in time, without SIGKILL"},
	{"6.2", "the process ends with status 0"},
}

// judgeOpen judges what a client has seen whose request was answered before the signal, or at it.
// The end of a stream of another sort can't be told from a cut.
func (j *judge) judgeOpen(c *client) {
	switch r := c.route; {
	case c.isLongCall():
	case r.socket:
		j.judgeSocket(c)
	case r.events:
		j.judgeEvents(c)
	case r.ended:
		j.judgeAnswer(c)
	case r.call != request.NoCall:
		j.judgeCall(c)
	case r.format == format.Lines:
		j.score.check("4.2", r.Name(), c.err != nil || !c.body.torn(), "it ends within a line, and cleanly")
	}
}

func (j *judge) judgeAnswer(c *client) {
	r, name := c.route, c.route.Name()
	short := c.body.size < r.body.size && (!r.same && c.body.size == 0 || r.same && c.body.isPartOf(&r.body))
	whole := c.err == nil && c.status == r.status
	if r.call != request.NoCall {
		short, whole = c.end.IsPartOf(r.end, r.same, r.asMany), c.end.Status == request.OK
	}
	j.score.check("3.1", name, !(whole && short), "a clean end after %d of %d bytes", c.body.size, r.body.size)
	if r.took < j.limit/2 && !(whole && short) {
		kept := whole || r.call == request.NoCall && c.err == nil && c.status < 500
		j.score.check("3.2", name, kept, "it takes %v and is lost: %s", r.took.Round(time.Millisecond), c.outcome())
	}
}

func (j *judge) judgeEvents(c *client) {
	name, last := c.route.Name(), c.body.lastEvent()
	told := strings.Contains("\n"+last, "\nretry:")
	j.score.check("4.1", name, told, "no last event says when to come back; it ends with %s", c.outcome())
	j.score.check("4.2", name, last == "" || strings.HasSuffix(last, "\n\n") || c.err != nil && !told, "it ends within an event")
	if !c.isEventSource() {
		j.score.check("4.3", name, c.err != nil, "a client that is no EventSource sees a clean end, and takes it for the last word")
	}
}

// judgeCall judges a call of gRPC or Connect that doesn't end by itself.
func (j *judge) judgeCall(c *client) {
	name, e := c.route.Name(), c.end
	j.score.check("4.2", name, !(e.Torn && c.err == nil), "it ends within a message, and in order")
	j.score.check("4.5", name, e.Status != "", "it ends without a status: %s", c.outcome())
	if e.Status != "" {
		j.score.check("4.1", name, e.Status == request.Unavailable && e.Retry != "", "its end doesn't say when to come back: %s", c.outcome())
	}
}

func (j *judge) judgeSocket(c *client) {
	name := c.route.Name()
	if c.status != http.StatusSwitchingProtocols {
		return
	}
	text := ""
	if c.err != nil {
		text = c.err.Error()
	}
	torn := c.code() == 0 && strings.HasPrefix(text, "websocket: ") && !websocket.IsUnexpectedCloseError(c.err)
	if c.inFrame {
		torn, text = true, "a Close frame within another frame"
	}
	j.score.check("4.2", name, !torn, "it breaks the protocol: %s", text)
	j.score.check("4.4", name, c.code() != 0, "no Close frame: %s", c.outcome())
}

// lastAnswered returns when the last of the clients came that had an answer.
func lastAnswered(all []*client) (last time.Time) {
	for _, c := range all {
		if c.status != 0 && c.began.After(last) {
			last = c.began
		}
	}
	return last
}

// judgeNew judges what a client has got that came with the signal or after it. That it can't
// connect is as good a refusal as any: all clients try again. That it had no answer is a fault only
// if the server has answered a later one: else the process was about to end.
func (j *judge) judgeNew(c *client, last time.Time) {
	name := c.route.Name()
	switch {
	case c.unanswered():
		if c.ended.Before(last) {
			j.score.check("3.3", name, false, "a new request has no answer, though later ones have: %v", c.err)
		}
	case c.status == 0:
	case c.route.events:
		j.score.check("3.4", name, c.status == http.StatusOK && c.speaksSSE(), "status %d, on which an EventSource gives up for good", c.status)
		if !c.isEventSource() && c.status == http.StatusOK {
			j.score.check("4.3", name, c.err != nil, "a new client that is no EventSource sees a clean end, and takes it for the last word")
		}
	case c.route.call != request.NoCall:
		j.judgeNewCall(c)
	case c.status == http.StatusServiceUnavailable:
		j.score.check("3.3", name, c.header.Get("Retry-After") != "", "503 without Retry-After")
	case c.route.socket:
		if c.status == http.StatusSwitchingProtocols {
			j.judgeSocket(c)
			return
		}
		j.score.check("3.3", name, false, "a new WebSocket is answered with status %d", c.status)
	case c.status == c.route.status: // it was served
		j.judgeOpen(c)
	default:
		j.score.check("3.3", name, false, "a new request is answered with status %d", c.status)
	}
}

// judgeNewCall judges the answer to a call that came with the signal or after it.
func (j *judge) judgeNewCall(c *client) {
	name, e := c.route.Name(), c.end
	switch {
	case e.Status == request.Unavailable:
		j.score.check("3.3", name, e.Retry != "", "a new call is refused without the time to come back")
	case c.route.ended && e.Status != request.OK && !c.isLongCall():
		j.score.check("3.3", name, false, "a new call is refused, on which its client doesn't try again: %s", c.outcome())
	default: // it was served
		j.judgeOpen(c)
	}
}

// outcome says in a few words how the client's answer ended.
func (c *client) outcome() string {
	switch {
	case c.closed:
		return "nothing, until the process had ended"
	case c.err != nil:
		return c.err.Error()
	case c.status >= 400:
		return strings.TrimSpace(fmt.Sprintf("status %d %s", c.status, http.StatusText(c.status)))
	case c.end.Status != "" && c.end.Status != request.OK:
		return "status " + c.end.Status
	}
	return "a clean end"
}
