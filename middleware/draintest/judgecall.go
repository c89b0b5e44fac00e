package draintest

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/lastcall-go/lastcall/internal/request"
	"github.com/lastcall-go/lastcall/policy"
)

// callEnd returns what the client's answer is to the client of a call.
func (c *client) callEnd() request.End {
	p := request.ProtocolOf(c.route.HTTP("http://" + host))
	return p.End(request.Answer{Status: c.status, Header: c.header, Trailer: c.trailer, Body: c.body, Err: c.err})
}

// parts returns the number of messages of a call, and of lines of another answer.
func (c *client) parts() int {
	if request.ProtocolOf(c.route.HTTP("http://"+host)) != request.NoCall {
		return len(c.callEnd().Messages)
	}
	return strings.Count(c.body, "\n")
}

// judgeStreamedCall judges a call that doesn't end by itself.
func (tr *trial) judgeStreamedCall(c *client, rule policy.Rule) {
	e := c.callEnd()
	told := e.Retry != "" || rule.Farewell.Expand(0).Code == policy.StayAway().Code // that is not to come back
	switch {
	case c.before > 0: // it is too long to be read
	case e.Torn && c.err == nil:
		tr.report("4.2", "ends within a message, with an end in order. Write each message whole, and then look at the context")
	case e.Status == "":
		tr.report("4.5", "ends without a status, as if the network had failed (%s). "+
			"Return when r.Context() is done, after a whole message, and don't panic or close the connection", c.ending())
	case (e.Status != request.Unavailable || !told) && rule.Farewell.Send != policy.SendNothing:
		tr.report("4.1", "ends with the status %q before it is told when to come back, so that its client doesn't, or does so together with all others. "+
			"Wait for r.Context().Done(), not for the drain's beginning: the status is then %q, with the time to come back", e.Status, request.Unavailable)
	}
}

// ending says how the answer has ended, for people.
func (c *client) ending() string {
	if c.err != nil {
		return c.err.Error()
	}
	return cmp.Or(c.callEnd().Status, fmt.Sprintf("status %d", c.status))
}

// judgeLateCall judges how a call was refused that came while the server drained.
func (tr *trial) judgeLateCall(c *client, reached bool) {
	e, whole := c.callEnd(), tr.drill.normal.client.callEnd()
	switch {
	case reached && tr.drill.normal.infinite, reached && e.Status == whole.Status && !e.IsPartOf(whole, tr.drill.normal.same, tr.drill.normal.asMany): // its rule admits it
	case c.closed:
		tr.report("3.3", "has no answer 10 s later. Refuse it at once")
	case c.status == 0:
		tr.report("3.3", "gives a new call no answer: %v. Refuse it with the status %q of %s", c.err, request.Unavailable, tr.drill.call)
	case e.Status != request.Unavailable:
		tr.report("3.3", "refuses a new call (%s), on which its client doesn't try again, and not with the status %q of %s. "+
			"Leave Drainer.Refusal nil, or answer calls in it in their protocol", c.ending(), request.Unavailable, tr.drill.call)
	case e.Retry == "":
		tr.report("3.3", "refuses a new call without the time to come back. Add grpc-retry-pushback-ms to its status, or Retry-After to unary Connect's")
	}
}
