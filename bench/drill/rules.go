package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/lastcall-go/lastcall/internal/format"
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
	{"5.2", "clients come back to the next process"},
	{"6.1", "the process ends in time, without SIGKILL"},
	{"6.2", "the process ends with status 0"},
}

// judgeOpen judges what a client has seen whose request was answered before the signal, or at it.
// The end of a stream of another sort can't be told from a cut.
func (j *judge) judgeOpen(c *client) {
	switch r := c.route; {
	case r.socket:
		j.judgeSocket(c)
	case r.events:
		j.judgeEvents(c)
	case r.ended:
		j.judgeAnswer(c)
	case r.format == format.GRPC || r.format == format.Connect:
		j.judgeCall(c)
	case r.format == format.Lines:
		j.score.check("4.2", r.Name(), c.err != nil || !c.body.torn(), "it ends within a line, and cleanly")
	}
}

func (j *judge) judgeAnswer(c *client) {
	r, name := c.route, c.route.Name()
	short := c.body.size < r.body.size && (!r.same && c.body.size == 0 || r.same && c.body.isPartOf(&r.body))
	looksWhole := c.err == nil && c.status == r.status && c.call == r.call && short
	j.score.check("3.1", name, !looksWhole, "a clean end behind %d of %d bytes", c.body.size, r.body.size)
	if r.took < j.limit/2 && !looksWhole {
		j.score.check("3.2", name, c.err == nil && c.status < 500 && c.call == r.call, "it takes %v and is lost: %s", r.took.Round(time.Millisecond), c.outcome())
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

// judgeCall judges a call of gRPC or Connect that doesn't end by itself. Without a status its
// client knows that it was cut.
func (j *judge) judgeCall(c *client) {
	name := c.route.Name()
	j.score.check("4.1", name, c.call != "", "it ends without a status: %s", c.outcome())
	if c.call != "" {
		j.score.check("4.2", name, !c.body.torn(), "it ends within a message, with status %s", c.call)
		j.score.check("4.3", name, c.call != "0", "it ends with the status of a call that went well, which its client takes for the last word")
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

// judgeNew judges what a client has got that came with the signal or behind it. That it can't
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
	case unavailable(c.call):
		j.score.check("3.3", name, true, "")
	case c.call != "" && c.call != c.route.call && c.route.ended:
		j.score.check("3.3", name, false, "a new call is answered with status %s", c.call)
	case c.status == http.StatusServiceUnavailable && (c.route.format == format.GRPC):
		j.score.check("3.3", name, true, "") // to a client of gRPC this is UNAVAILABLE
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

// outcome says in a few words how the client's answer ended.
func (c *client) outcome() string {
	switch {
	case c.closed:
		return "nothing, until the process had ended"
	case c.err != nil:
		return c.err.Error()
	case c.status >= 400:
		return strings.TrimSpace(fmt.Sprintf("status %d %s", c.status, http.StatusText(c.status)))
	case c.call != "" && c.call != "0":
		return "status " + c.call
	}
	return "a clean end"
}
