package draintest

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/request"
	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/sse"
)

func isInfinite(r *tracked.Response) bool { return r.Kind() == policy.Infinite }

// judgeTrial judges how the handlers, the goroutines and the drain itself ended.
func (d *drill) judgeTrial(tr *trial) {
	named := map[int]bool{}
	for _, c := range tr.calls.all() {
		if text := overtime(tr, c); text != "" {
			named[c.number] = true
			d.report("1.1", tr.name, text)
		}
	}
	for _, g := range tr.left {
		if !named[g.call] {
			by := "of the server"
			if g.call != 0 {
				by = "of its handler"
			}
			d.report("1.2", tr.name, fmt.Sprintf("leaves a goroutine %s behind the drain: %s. End it by the request's context, by stream.Draining, "+
				"or in what start gives to t.Cleanup, and wait for it there", by, g))
		}
	}
	if tr.blocked {
		d.report("1.2", tr.name, "can't be cleaned up: a function that start gave to t.Cleanup has not returned 30 s after the drain. Close what handlers use only then, and by something that ends")
	}
	_, wroteAfter, panicked := tr.rec.get()
	if wroteAfter != "" {
		d.report("1.3", tr.name, fmt.Sprintf("writes when its handler has returned, in %s: net/http may be using the buffer for the next request. Wait for the goroutine before the handler returns", wroteAfter))
	}
	for _, a := range tr.d.Report().Aborted {
		if a.Hijacker != "" {
			d.report("1.4", tr.name, fmt.Sprintf("leaves the connection open that %s hijacked, until it is cut. Close it when its loop ends", a.Hijacker))
		}
	}
	if panicked != "" {
		d.report("1.5", tr.name, "panics: "+panicked)
	}
	if limit := tr.d.Budget.WithDefaults().Total; tr.took > limit+100*time.Millisecond {
		d.report("2.1", tr.name, fmt.Sprintf("took %s to drain, and the budget is %s", seconds(tr.took), seconds(limit)))
	}
}

// overtime says how long a handler has gone on after its context was canceled, if that was until
// after its cut, and otherwise nothing.
func overtime(tr *trial, c *call) string {
	tr.calls.mu.Lock()
	defer tr.calls.mu.Unlock()
	m, planned := c.response.Moments()
	if !planned || !c.response.Canceled() || !c.returned.IsZero() && !c.returned.After(m.Cut) {
		return ""
	}
	text := "never gave its goroutine back after its context was canceled"
	if !c.returned.IsZero() {
		text = fmt.Sprintf("kept its goroutine %s after its context was canceled", seconds(c.returned.Sub(m.Cancel)))
	}
	if c.seen.n > 0 {
		text += ": " + c.seen.String()
	}
	return text + ". Let it select on r.Context().Done() there too, or hand the context to what it calls"
}

// judgeClient judges what a client has seen of the drain that met its response.
func (d *drill) judgeClient(tr *trial, c *client) {
	if c.closed {
		d.report("2.1", tr.name, "let its client wait on: 5 s behind the drain it had not ended")
		return
	}
	r := tr.response()
	if r == nil || c.status == 0 && c.err == nil {
		return
	}
	rule := r.Rule()
	switch {
	case tr.slow > 0 && isInfinite(r) && c.err != nil && c.code() == 0: // nobody waits for who is late to be told
	case d.normal.webSocket:
		d.judgeSocket(tr, c)
	case isInfinite(r) && rule.Timeout == policy.AtOnce && rule.Mercy == policy.AtOnce: // it is told nothing
	case !isInfinite(r):
		d.judgeAnswer(tr, c, r)
	case d.call != request.NoCall:
		d.judgeStreamedCall(tr, c, rule)
	case r.Format() == format.SSE, c.header.Get("Content-Encoding") != "" && strings.HasPrefix(c.header.Get("Content-Type"), "text/event-stream"):
		d.judgeEvents(tr, c, rule)
	case r.Format() == format.Lines && c.err == nil && c.body != "" && !strings.HasSuffix(c.body, "\n"):
		d.report("4.2", tr.name, "ends within a line, with a clean end: what is there of the line may pass for a whole one. Write each line whole")
	}
}

// judgeAnswer judges a finite answer.
func (d *drill) judgeAnswer(tr *trial, c *client, r *tracked.Response) {
	s := d.normal
	whole := s.client
	part := c.err == nil && c.status == whole.status && isPart(c, whole, s.same)
	lost := c.err != nil || c.status >= 400 && c.status != whole.status
	size := fmt.Sprintf("%d of %d bytes, with a clean end", c.before+len(c.body), whole.before+len(whole.body))
	if e, all := c.callEnd(), whole.callEnd(); d.call != request.NoCall && c.before == 0 {
		part, lost = e.Status == all.Status && e.Status != "" && e.IsPartOf(all, s.same), e.Status != all.Status
		size = fmt.Sprintf("%d of %d messages, with status %q", len(e.Messages), len(all.Messages), e.Status)
	}
	switch {
	case !s.ended && r.Canceled():
		d.report("2.2", tr.name, fmt.Sprintf("doesn't end by itself, and is taken for an answer that does: the drain waited %s for it, and broke it off. "+
			"Give the route policy.Rule{Kind: policy.Infinite}, or end the answer by stream.Draining", seconds(s.allowed)))
	case part:
		d.report("3.1", tr.name, fmt.Sprintf("looks whole to its client, but is cut short: %s. "+
			"Go on to the end, or panic with http.ErrAbortHandler; what recovers must not swallow that, and what it reads from must stay open until the drain is over", size))
	case s.ended && whole.took+tr.slow < s.allowed && lost:
		d.report("3.2", tr.name, fmt.Sprintf("was under way and is lost (%s), though it takes %s and had %s. Let the handler go on: only its context says that its time is up", c.ending(), seconds(whole.took+tr.slow), seconds(s.allowed)))
	}
}

// isPart reports whether what a client got is the beginning of the whole. If that isn't the same
// each time, bodies of lines are compared by their number.
func isPart(c, whole *client, same bool) bool {
	switch {
	case same && whole.before > 0:
		return c.before+len(c.body) < whole.before+len(whole.body)
	case same:
		return len(c.body) < len(whole.body) && strings.HasPrefix(whole.body, c.body)
	}
	lines := strings.Count(whole.body, "\n")
	return c.body == "" && whole.body != "" || lines > 1 && whole.before == 0 && strings.Count(c.body, "\n") < lines
}

// judgeEvents judges an event stream that doesn't end by itself.
func (d *drill) judgeEvents(tr *trial, c *client, rule policy.Rule) {
	req := c.route.HTTP(tr.URL)
	farewell := rule.Farewell.Expand(0)
	body := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(c.body)
	last := strings.LastIndex(strings.TrimSuffix(body, "\n\n"), "\n\n")
	told := strings.Contains(body[max(0, last):], "\nretry:") || strings.HasPrefix(body, "retry:")
	switch {
	case body != "" && !strings.HasSuffix(body, "\n\n") && (c.err == nil || told):
		d.report("4.2", tr.name, "ends within an event. Write each event whole, with its empty line, and then look at the context")
	case !told && farewell.Send != policy.SendNothing && c.header.Get("Content-Encoding") != "":
		d.report("4.1", tr.name, "ends without a last event, since it is compressed. Leave event streams out of compression, or put Graceful inside of it")
	case !told && farewell.Send != policy.SendNothing:
		d.report("4.1", tr.name, "ends without a last event that tells its client when to come back: the handler had ended it before. "+
			"Wait for r.Context().Done(), not for the drain's beginning, and write whole events")
	}
	if c.err == nil && farewell.Code != policy.StayAway().Code && !sse.FromEventSource(req) {
		d.report("4.3", tr.name, "ends cleanly for a client that is no EventSource: to most of these that is the end of the story, and they don't come back. "+
			"Leave policy.Rule.Ending at its zero value, and let the handler wait for r.Context().Done()")
	}
}

// judgeSocket judges a WebSocket.
func (d *drill) judgeSocket(tr *trial, c *client) {
	switch {
	case c.status != http.StatusSwitchingProtocols: // it was refused
		d.judgeRefusal(tr, c)
	case c.code() == 0 && !websocket.IsUnexpectedCloseError(c.err) && strings.HasPrefix(c.err.Error(), "websocket: "):
		d.report("4.2", tr.name, "breaks the protocol: "+c.err.Error()+". Write each message whole, from one goroutine at a time")
	case c.code() == 0:
		d.report("4.4", tr.name, "ends without a Close frame, as if the network had failed ("+c.err.Error()+"). "+
			"Go on reading until the peer's Close has come, and close the connection only then")
	}
}

// judgeLate judges what a client got that came while the server drained.
func (d *drill) judgeLate(tr *trial, c *client) {
	req := c.route.HTTP(tr.URL)
	reached := len(tr.calls.all()) > 0
	switch {
	case d.call != request.NoCall:
		d.judgeLateCall(tr, c, reached)
	case c.closed:
		d.report("3.3", tr.name, "has no answer 10 s later. Refuse it at once")
	case sse.Accepts(req) && d.normal.infinite && sse.FromEventSource(req) && !answersEvents(c):
		d.report("3.4", tr.name, fmt.Sprintf("answers an EventSource with status %d, on which it gives up for good. Answer 200 with an empty event stream, as sse.Refuse does", c.status))
	case sse.Accepts(req) && d.normal.infinite:
		if c.err == nil && !strings.Contains(c.body, "retry:") || !answersEvents(c) {
			d.report("3.4", tr.name, fmt.Sprintf("answers a client of event streams with status %d and an end that it may not come back from. Refuse it with sse.Refuse", c.status))
		}
	case reached && (c.status == d.normal.client.status && !isPart(c, d.normal.client, d.normal.same)): // its rule admits it
	default:
		d.judgeRefusal(tr, c)
	}
}

func answersEvents(c *client) bool {
	return c.status == http.StatusOK && strings.HasPrefix(c.header.Get("Content-Type"), "text/event-stream")
}

// judgeRefusal judges the refusal of a plain request.
func (d *drill) judgeRefusal(tr *trial, c *client) {
	switch {
	case c.status == 0:
		d.report("3.3", tr.name, "gives a new request no answer: "+c.err.Error()+". Refuse it with 503 and Retry-After")
	case c.status != http.StatusServiceUnavailable:
		d.report("3.3", tr.name, fmt.Sprintf("answers a new request with status %d and %d bytes, which its client takes for the answer. Refuse it with 503 and Retry-After", c.status, len(c.body)))
	case c.header.Get("Retry-After") == "":
		d.report("3.3", tr.name, "refuses a new request without Retry-After, so that its client doesn't know when to come back")
	}
}

// judgeSecond judges the answer to the request that a client needs for the one that is open.
func (d *drill) judgeSecond(tr *trial, c *client) {
	if e := c.callEnd(); c.status < 200 || c.status > 299 || c.err != nil || e.Status != "" && e.Status != request.OK {
		d.report("5.1", tr.name, fmt.Sprintf("needs %s, which is refused meanwhile (%s). Give the route of that policy.Rule{Admit: true}", d.second.Name(), c.ending()))
	}
}

// seconds returns a time for people.
func seconds(d time.Duration) string {
	if d < 100*time.Millisecond {
		return d.Round(time.Millisecond).String()
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
