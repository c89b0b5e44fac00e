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

// judgeShape judges what the route answers without a drain.
func (d *drill) judgeShape() {
	s := d.shape
	if s.infinite && !s.socket && s.ended && s.visitor.err == nil && s.visitor.body != "" && s.visitor.took < s.work {
		d.report("3.5", "", fmt.Sprintf("ends by itself, %s after it began, but is taken for a stream, and would be told goodbye in the middle. "+
			"Call stream.Tag(r.Context(), policy.Finite) before the first byte, or give the route policy.LetFinish()", seconds(s.visitor.took)))
	}
}

// judgeScene judges how the handlers, the goroutines and the drain itself ended.
func (d *drill) judgeScene(sc *scene) {
	late := map[int]bool{}
	for _, c := range sc.calls.all() {
		if text := lateText(sc, c); text != "" {
			late[c.number] = true
			d.report("1.1", sc.name, text)
		}
	}
	for _, g := range sc.left {
		if !late[g.call] {
			by := "of the server"
			if g.call != 0 {
				by = "of its handler"
			}
			d.report("1.2", sc.name, fmt.Sprintf("leaves a goroutine %s behind the drain: %s. End it by the request's context, by stream.Draining, "+
				"or in what start gives to t.Cleanup, and wait for it there", by, g))
		}
	}
	if sc.blocked {
		d.report("1.2", sc.name, "can't be cleaned up: a function that start gave to t.Cleanup has not returned 30 s after the drain. Close what handlers use only then, and by something that ends")
	}
	_, wroteLate, panicked := sc.rec.get()
	if wroteLate != "" {
		d.report("1.3", sc.name, fmt.Sprintf("writes when its handler has returned, in %s: net/http may be using the buffer for the next request. Wait for the goroutine before the handler returns", wroteLate))
	}
	for _, a := range sc.d.Report().Aborted {
		if a.Hijacker != "" {
			d.report("1.4", sc.name, fmt.Sprintf("leaves the connection open that %s hijacked, until it is cut. Close it when its loop ends", a.Hijacker))
		}
	}
	if panicked != "" {
		d.report("1.5", sc.name, "panics: "+panicked)
	}
	if limit := sc.d.Budget.WithDefaults().Total; sc.took > limit+100*time.Millisecond {
		d.report("2.1", sc.name, fmt.Sprintf("took %s to drain, and the budget is %s", seconds(sc.took), seconds(limit)))
	}
}

// lateText says how long a handler has gone on behind the cut that follows its context's cancel, or
// returns the empty string if it hasn't.
func lateText(sc *scene, c *call) string {
	sc.calls.mu.Lock()
	defer sc.calls.mu.Unlock()
	m, planned := c.response.Moments()
	if !planned || !c.response.Canceled() || !c.returned.IsZero() && !c.returned.After(m.Cut) {
		return ""
	}
	text := "never gave its goroutine back after its context was canceled"
	if !c.returned.IsZero() {
		text = fmt.Sprintf("kept its goroutine %s after its context was canceled", seconds(c.returned.Sub(m.Cancel)))
	}
	if c.where.n > 0 {
		text += ": " + c.where.String()
	}
	return text + ". Let it select on r.Context().Done() there too, or hand the context to what it calls"
}

// judgeVisitor judges what a client has seen of the drain that met its response.
func (d *drill) judgeVisitor(sc *scene, v *visitor) {
	if v.closed {
		d.report("2.1", sc.name, "let its client wait on: 5 s behind the drain it had not ended")
		return
	}
	all := sc.calls.all()
	if len(all) == 0 || v.status == 0 && v.err == nil {
		return
	}
	r := all[0].response
	rule := r.Rule()
	switch {
	case sc.slow > 0 && isInfinite(r) && v.err != nil && v.code() == 0: // nobody waits for who is late to be told
	case d.shape.socket:
		d.judgeSocket(sc, v)
	case isInfinite(r) && rule.Timeout == policy.AtOnce && rule.Mercy == policy.AtOnce: // it is told nothing
	case !isInfinite(r):
		d.judgeAnswer(sc, v, r)
	case d.call != request.NoCall:
		d.judgeStreamedCall(sc, v, rule)
	case r.Format() == format.SSE, v.header.Get("Content-Encoding") != "" && strings.HasPrefix(v.header.Get("Content-Type"), "text/event-stream"):
		d.judgeEvents(sc, v, rule)
	case r.Format() == format.Lines && v.err == nil && v.body != "" && !strings.HasSuffix(v.body, "\n"):
		d.report("4.2", sc.name, "ends within a line, with a clean end: what is there of the line may pass for a whole one. Write each line whole")
	}
}

// judgeAnswer judges a finite answer.
func (d *drill) judgeAnswer(sc *scene, v *visitor, r *tracked.Response) {
	s := d.shape
	whole := s.visitor
	part := v.err == nil && v.status == whole.status && isPart(v, whole, s.same)
	lost := v.err != nil || v.status >= 400 && v.status != whole.status
	size := fmt.Sprintf("%d of %d bytes, with a clean end", v.before+len(v.body), whole.before+len(whole.body))
	if e, all := v.callEnd(), whole.callEnd(); d.call != request.NoCall && v.before == 0 {
		part, lost = e.Status == all.Status && e.Status != "" && e.IsPartOf(all, s.same), e.Status != all.Status
		size = fmt.Sprintf("%d of %d messages, with status %q", len(e.Messages), len(all.Messages), e.Status)
	}
	switch {
	case !s.ended && r.Canceled():
		d.report("2.2", sc.name, fmt.Sprintf("doesn't end by itself, and is taken for an answer that does: the drain waited %s for it, and broke it off. "+
			"Give the route policy.Rule{Kind: policy.Infinite}, or end the answer by stream.Draining", seconds(s.work)))
	case part:
		d.report("3.1", sc.name, fmt.Sprintf("looks whole to its client, but is cut short: %s. "+
			"Go on to the end, or panic with http.ErrAbortHandler; what recovers must not swallow that, and what it reads from must stay open until the drain is over", size))
	case s.ended && whole.took+sc.slow < s.work && lost:
		d.report("3.2", sc.name, fmt.Sprintf("was under way and is lost (%s), though it takes %s and had %s. Let the handler go on: only its context says that its time is up", v.ending(), seconds(whole.took+sc.slow), seconds(s.work)))
	}
}

// isPart reports whether what a client got is the beginning of the whole. If that isn't the same
// each time, bodies of lines are compared by their number.
func isPart(v, whole *visitor, same bool) bool {
	switch {
	case same && whole.before > 0:
		return v.before+len(v.body) < whole.before+len(whole.body)
	case same:
		return len(v.body) < len(whole.body) && strings.HasPrefix(whole.body, v.body)
	}
	lines := strings.Count(whole.body, "\n")
	return v.body == "" && whole.body != "" || lines > 1 && whole.before == 0 && strings.Count(v.body, "\n") < lines
}

// judgeEvents judges an event stream that doesn't end by itself.
func (d *drill) judgeEvents(sc *scene, v *visitor, rule policy.Rule) {
	req := v.route.HTTP(sc.URL)
	farewell := rule.Farewell.Expand(0)
	body := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(v.body)
	last := strings.LastIndex(strings.TrimSuffix(body, "\n\n"), "\n\n")
	told := strings.Contains(body[max(0, last):], "\nretry:") || strings.HasPrefix(body, "retry:")
	switch {
	case body != "" && !strings.HasSuffix(body, "\n\n") && (v.err == nil || told):
		d.report("4.2", sc.name, "ends within an event. Write each event whole, with its empty line, and then look at the context")
	case !told && farewell.Send != policy.SendNothing && v.header.Get("Content-Encoding") != "":
		d.report("4.1", sc.name, "ends without a last event, since it is compressed. Leave event streams out of compression, or put Graceful inside of it")
	case !told && farewell.Send != policy.SendNothing:
		d.report("4.1", sc.name, "ends without a last event that tells its client when to come back: the handler had ended it before. "+
			"Wait for r.Context().Done(), not for the drain's beginning, and write whole events")
	}
	if v.err == nil && farewell.Code != policy.StayAway().Code && !sse.FromEventSource(req) {
		d.report("4.3", sc.name, "ends cleanly for a client that is no EventSource: to most of these that is the end of the story, and they don't come back. "+
			"Leave policy.Rule.Ending at its zero value, and let the handler wait for r.Context().Done()")
	}
}

// judgeSocket judges a WebSocket.
func (d *drill) judgeSocket(sc *scene, v *visitor) {
	switch {
	case v.status != http.StatusSwitchingProtocols: // it was refused
		d.judgeRefusal(sc, v)
	case v.code() == 0 && !websocket.IsUnexpectedCloseError(v.err) && strings.HasPrefix(v.err.Error(), "websocket: "):
		d.report("4.2", sc.name, "breaks the protocol: "+v.err.Error()+". Write each message whole, from one goroutine at a time")
	case v.code() == 0:
		d.report("4.4", sc.name, "ends without a Close frame, as if the network had failed ("+v.err.Error()+"). "+
			"Go on reading until the peer's Close has come, and close the connection only then")
	}
}

// judgeLate judges what a client got that came while the server drained.
func (d *drill) judgeLate(sc *scene, v *visitor, r request.Request) {
	req := r.HTTP(sc.URL)
	reached := len(sc.calls.all()) > 0
	switch {
	case d.call != request.NoCall:
		d.judgeLateCall(sc, v, reached)
	case v.closed:
		d.report("3.3", sc.name, "has no answer 10 s later. Refuse it at once")
	case sse.Accepts(req) && d.shape.infinite && sse.FromEventSource(req) && !answersEvents(v):
		d.report("3.4", sc.name, fmt.Sprintf("answers an EventSource with status %d, on which it gives up for good. Answer 200 with an empty event stream, as sse.Refuse does", v.status))
	case sse.Accepts(req) && d.shape.infinite:
		if v.err == nil && !strings.Contains(v.body, "retry:") || !answersEvents(v) {
			d.report("3.4", sc.name, fmt.Sprintf("answers a client of event streams with status %d and an end that it may not come back from. Refuse it with sse.Refuse", v.status))
		}
	case reached && (v.status == d.shape.visitor.status && !isPart(v, d.shape.visitor, d.shape.same)): // its rule admits it
	default:
		d.judgeRefusal(sc, v)
	}
}

func answersEvents(v *visitor) bool {
	return v.status == http.StatusOK && strings.HasPrefix(v.header.Get("Content-Type"), "text/event-stream")
}

// judgeRefusal judges the refusal of a plain request.
func (d *drill) judgeRefusal(sc *scene, v *visitor) {
	switch {
	case v.status == 0:
		d.report("3.3", sc.name, "gives a new request no answer: "+v.err.Error()+". Refuse it with 503 and Retry-After")
	case v.status != http.StatusServiceUnavailable:
		d.report("3.3", sc.name, fmt.Sprintf("answers a new request with status %d and %d bytes, which its client takes for the answer. Refuse it with 503 and Retry-After", v.status, len(v.body)))
	case v.header.Get("Retry-After") == "":
		d.report("3.3", sc.name, "refuses a new request without Retry-After, so that its client doesn't know when to come back")
	}
}

// judgeSecond judges the answer to the request that a client needs for the one that is open.
func (d *drill) judgeSecond(sc *scene, v *visitor) {
	if e := v.callEnd(); v.status < 200 || v.status > 299 || v.err != nil || e.Status != "" && e.Status != request.OK {
		d.report("5.1", sc.name, fmt.Sprintf("needs %s, which is refused meanwhile (%s). Give the route of that policy.Rule{Admit: true}", d.second.Name(), v.ending()))
	}
}

// seconds returns a time for people.
func seconds(d time.Duration) string {
	if d < 100*time.Millisecond {
		return d.Round(time.Millisecond).String()
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
