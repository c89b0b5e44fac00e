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
func (tr *trial) judgeTrial() {
	named := map[int]bool{}
	for _, c := range tr.calls.all() {
		if text := tr.calls.overtime(c); text != "" {
			named[c.number] = true
			tr.report("1.1", "%s", text)
		}
	}
	for _, g := range tr.left {
		if !named[g.call] {
			by := "of the server"
			if g.call != 0 {
				by = "of its handler"
			}
			tr.report("1.2", "leaves a goroutine %s after the drain: %s. End it by the request's context, by stream.Draining, "+
				"or in what start gives to t.Cleanup, and wait for it there", by, g)
		}
	}
	if tr.blocked {
		tr.report("1.2", "can't be cleaned up: a function that start gave to t.Cleanup has not returned 30 s after the drain. Close what handlers use only then, and by something that ends")
	}
	_, wroteAfter, panicked := tr.rec.get()
	if wroteAfter != "" {
		tr.report("1.3", "writes after its handler has returned, in %s: net/http may be using the buffer for the next request. Wait for the goroutine before the handler returns", wroteAfter)
	}
	for _, a := range tr.d.Report().Aborted {
		if a.Hijacker != "" {
			tr.report("1.4", "leaves the connection open that %s hijacked, until it is cut. Close it when its loop ends", a.Hijacker)
		}
	}
	if panicked != "" {
		tr.report("1.5", "panics: %s", panicked)
	}
	if limit := tr.d.Budget.WithDefaults().Total; tr.took > limit+100*time.Millisecond {
		tr.report("2.1", "took %s to drain, and the budget is %s", seconds(tr.took), seconds(limit))
	}
}

// overtime says how long a handler has gone on after its context was canceled, if that was until
// after its cut, and otherwise nothing.
func (c *calls) overtime(call *call) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, planned := call.response.Moments()
	if !planned || !call.response.Canceled() || !call.returned.IsZero() && !call.returned.After(m.Cut) {
		return ""
	}
	text := "did not return after its context was canceled"
	if !call.returned.IsZero() {
		text = fmt.Sprintf("returned only %s after its context was canceled", seconds(call.returned.Sub(m.Cancel)))
	}
	if call.seen.n > 0 {
		text += ": " + call.seen.String()
	}
	return text + ". Let it select on r.Context().Done() there too, or hand the context to what it calls"
}

// judgeClient judges what a client has seen whose response was open when the drain began.
func (tr *trial) judgeClient(c *client) {
	if c.closed {
		tr.report("2.1", "had not ended its client's response 5 s after the drain")
		return
	}
	r := tr.response()
	if r == nil || c.status == 0 && c.err == nil {
		return
	}
	rule := r.Rule()
	switch {
	case tr.slow > 0 && isInfinite(r) && c.err != nil && c.code() == 0: // too slow to be told in time
	case tr.drill.normal.webSocket:
		tr.judgeSocket(c)
	case isInfinite(r) && rule.Timeout == policy.AtOnce && rule.Mercy == policy.AtOnce: // it is to be told nothing
	case !isInfinite(r):
		tr.judgeAnswer(c, r)
	case tr.drill.call != request.NoCall:
		tr.judgeStreamedCall(c, rule)
	case r.Format() == format.SSE, c.header.Get("Content-Encoding") != "" && c.gotEvents():
		tr.judgeEvents(c, rule)
	case r.Format() == format.Lines && c.err == nil && c.body != "" && !strings.HasSuffix(c.body, "\n"):
		tr.report("4.2", "ends within a line, with a clean end: what is there of the line may pass for a whole one. Write each line whole")
	}
}

// judgeAnswer judges a finite answer.
func (tr *trial) judgeAnswer(c *client, r *tracked.Response) {
	n := tr.drill.normal
	whole := n.client
	part := c.err == nil && c.status == whole.status && n.isPart(c)
	lost := c.err != nil || c.status >= 400 && c.status != whole.status
	size := fmt.Sprintf("%d of %d bytes, with a clean end", c.before+len(c.body), whole.before+len(whole.body))
	if e, all := c.callEnd(), whole.callEnd(); tr.drill.call != request.NoCall && c.before == 0 {
		part, lost = e.Status == all.Status && e.Status != "" && e.IsPartOf(all, n.same, n.asMany), e.Status != all.Status
		size = fmt.Sprintf("%d of %d messages, with status %q", len(e.Messages), len(all.Messages), e.Status)
	}
	switch {
	case !n.ended && r.Canceled():
		tr.report("2.2", "doesn't end by itself, and is taken for an answer that does: the drain waited %s for it, and broke it off. "+
			"Give the route policy.Rule{Kind: policy.Infinite}, or end the answer by stream.Draining", seconds(n.allowed))
	case part:
		tr.report("3.1", "looks whole to its client, but is cut short: %s. "+
			"Go on to the end, or panic with http.ErrAbortHandler; what recovers must not swallow that, and what it reads from must stay open until the drain is over", size)
	case n.ended && whole.took+tr.slow < n.allowed && lost:
		tr.report("3.2", "was under way and is lost (%s), though it takes %s and had %s. Let the handler go on: only its context says that its time is up", c.ending(), seconds(whole.took+tr.slow), seconds(n.allowed))
	}
}

// isPart reports whether what a client got is the beginning of the whole. If that isn't the same
// each time, bodies of lines are compared by their number.
func (n behavior) isPart(c *client) bool {
	whole := n.client
	switch {
	case n.same && whole.before > 0:
		return c.before+len(c.body) < whole.before+len(whole.body)
	case n.same:
		return len(c.body) < len(whole.body) && strings.HasPrefix(whole.body, c.body)
	}
	lines := strings.Count(whole.body, "\n")
	return c.body == "" && whole.body != "" || n.asMany && lines > 1 && whole.before == 0 && strings.Count(c.body, "\n") < lines
}

// judgeEvents judges an event stream that doesn't end by itself.
func (tr *trial) judgeEvents(c *client, rule policy.Rule) {
	req := c.route.HTTP(tr.URL)
	farewell := rule.Farewell.Expand(0)
	body := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(c.body)
	last := strings.LastIndex(strings.TrimSuffix(body, "\n\n"), "\n\n")
	told := strings.Contains(body[max(0, last):], "\nretry:") || strings.HasPrefix(body, "retry:")
	compressed := c.header.Get("Content-Encoding") != ""
	switch {
	case !compressed && body != "" && !strings.HasSuffix(body, "\n\n") && (c.err == nil || told):
		tr.report("4.2", "ends within an event. Write each event whole, with its empty line, and then look at the context")
	case !told && farewell.Send != policy.SendNothing && compressed:
		tr.report("4.1", "ends without a last event, since it is compressed. Leave event streams out of compression, or put Graceful inside of it")
	case !told && farewell.Send != policy.SendNothing:
		tr.report("4.1", "ends without a last event that tells its client when to come back: the handler had ended it before. "+
			"Wait for r.Context().Done(), not for the drain's beginning, and write whole events")
	}
	if c.err == nil && farewell.Code != policy.StayAway().Code && !sse.FromEventSource(req) {
		tr.report("4.3", "ends cleanly for a client that is no EventSource: most of these take it for the last word, and don't come back. "+
			"Leave policy.Rule.Ending at its zero value, and let the handler wait for r.Context().Done()")
	}
}

// judgeSocket judges a WebSocket.
func (tr *trial) judgeSocket(c *client) {
	switch {
	case c.status != http.StatusSwitchingProtocols: // it was refused
		tr.judgeRefusal(c)
	case c.code() == 0 && !websocket.IsUnexpectedCloseError(c.err) && strings.HasPrefix(c.err.Error(), "websocket: "):
		tr.report("4.2", "breaks the protocol: %v. Write each message whole, from one goroutine at a time", c.err)
	case c.code() == 0:
		tr.report("4.4", "ends without a Close frame, as if the network had failed (%v). "+
			"Go on reading until the peer's Close has come, and close the connection only then", c.err)
	}
}

// judgeLate judges what a client got that came while the server was draining.
func (tr *trial) judgeLate(c *client) {
	req := c.route.HTTP(tr.URL)
	reached := len(tr.calls.all()) > 0
	switch {
	case tr.d.CloseListeners && c.status == 0 && !c.closed: // nobody can connect, which is as good as a refusal
	case reached && c.closed: // its rule admits it, and it takes longer
	case tr.drill.call != request.NoCall:
		tr.judgeLateCall(c, reached)
	case c.closed:
		tr.report("3.3", "has no answer 10 s later. Refuse it at once")
	case sse.Accepts(req) && tr.drill.normal.infinite && sse.FromEventSource(req) && !answersEvents(c):
		tr.report("3.4", "answers an EventSource with status %d, on which it gives up for good. Answer 200 with an empty event stream, as sse.Refuse does", c.status)
	case sse.Accepts(req) && tr.drill.normal.infinite:
		if c.err == nil && !strings.Contains(c.body, "retry:") || !answersEvents(c) {
			tr.report("3.4", "answers a client of event streams with status %d and an end that it may not come back from. Refuse it with sse.Refuse", c.status)
		}
	case reached && (c.status == tr.drill.normal.client.status && !tr.drill.normal.isPart(c)): // its rule admits it
	default:
		tr.judgeRefusal(c)
	}
}

func answersEvents(c *client) bool {
	return c.status == http.StatusOK && c.gotEvents()
}

// judgeRefusal judges the refusal of a plain request.
func (tr *trial) judgeRefusal(c *client) {
	switch {
	case c.status == 0:
		tr.report("3.3", "gives a new request no answer: %v. Refuse it with 503 and Retry-After", c.err)
	case c.status != http.StatusServiceUnavailable:
		tr.report("3.3", "answers a new request with status %d and %d bytes, which its client takes for the answer. Refuse it with 503 and Retry-After", c.status, len(c.body))
	case c.header.Get("Retry-After") == "":
		tr.report("3.3", "refuses a new request without Retry-After, so that its client doesn't know when to come back")
	}
}

// judgeSecond judges the answer to the request that a client needs for the one that is open.
func (tr *trial) judgeSecond(c *client) {
	if e := c.callEnd(); c.status < 200 || c.status > 299 || c.err != nil || e.Status != "" && e.Status != request.OK {
		tr.report("5.1", "needs %s, which is refused while the server drains (%s). Give the route of that policy.Rule{Admit: true}", tr.drill.second.Name(), c.ending())
	}
}

// seconds returns a time for people.
func seconds(d time.Duration) string {
	if d < 100*time.Millisecond {
		return d.Round(time.Millisecond).String()
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
