package draintest

import (
	"cmp"
	"fmt"

	"github.com/lastcall-go/lastcall/internal/request"
	"github.com/lastcall-go/lastcall/policy"
)

// callEnd returns what the visitor's answer is to the client of a call.
func (v *visitor) callEnd() request.End {
	p := request.ProtocolOf(v.route.HTTP("http://draintest.test"))
	return p.End(request.Answer{Status: v.status, Header: v.header, Trailer: v.trailer, Body: v.body, Err: v.err})
}

// judgeStreamedCall judges a call that doesn't end by itself.
func (d *drill) judgeStreamedCall(sc *scene, v *visitor, rule policy.Rule) {
	e := v.callEnd()
	switch {
	case v.before > 0: // it is too long to be read
	case e.Torn && v.err == nil:
		d.report("4.2", sc.name, "ends within a message, with an end in order. Write each message whole, and then look at the context")
	case e.Status == "":
		d.report("4.5", sc.name, fmt.Sprintf("ends without a status, as if the network had failed (%s). "+
			"Return when r.Context() is done, behind a whole message, and don't panic or close the connection", v.ending()))
	case (e.Status != request.Unavailable || e.Retry == "") && rule.Farewell.Send != policy.SendNothing:
		d.report("4.1", sc.name, fmt.Sprintf("ends with the status %q before it is told when to come back, so that its client doesn't, or does so together with all others. "+
			"Wait for r.Context().Done(), not for the drain's beginning: the status is then %q, with the time to come back", e.Status, request.Unavailable))
	}
}

// ending says how the answer has ended, for people.
func (v *visitor) ending() string {
	if v.err != nil {
		return v.err.Error()
	}
	return cmp.Or(v.callEnd().Status, fmt.Sprintf("status %d", v.status))
}

// judgeLateCall judges how a call was refused that came while the server drained.
func (d *drill) judgeLateCall(sc *scene, v *visitor, reached bool) {
	e, whole := v.callEnd(), d.shape.visitor.callEnd()
	switch {
	case reached && d.shape.infinite, reached && e.Status == whole.Status && !e.IsPartOf(whole, d.shape.same): // its rule admits it
	case v.closed:
		d.report("3.3", sc.name, "has no answer 10 s later. Refuse it at once")
	case v.status == 0:
		d.report("3.3", sc.name, fmt.Sprintf("gives a new call no answer: %v. Refuse it with the status %q of %s", v.err, request.Unavailable, d.call))
	case e.Status != request.Unavailable:
		d.report("3.3", sc.name, fmt.Sprintf("refuses a new call (%s), on which its client doesn't try again, and not with the status %q of %s. "+
			"Leave Drainer.Refusal nil, or answer calls in it in their protocol", v.ending(), request.Unavailable, d.call))
	case e.Retry == "":
		d.report("3.3", sc.name, "refuses a new call without the time to come back. Add grpc-retry-pushback-ms to its status, or Retry-After to unary Connect's")
	}
}
