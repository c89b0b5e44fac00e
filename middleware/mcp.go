package middleware

import (
	"net/http"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// The standing stream of a session of the Model Context Protocol, a GET, is told its farewell when
// the session's open calls have ended, or else at the drain's end. Its client comes back for it to
// another server, which doesn't know the session and answers 404. The official Go client ends the
// session then, and with it the calls whose results are still to come from here.

// noteRequest records what the drain may have to know of the header of a request, before the
// handler can change it. It is called for a POST, whose answer may be long in coming, and for a
// stream. kind is what is known of the response's kind.
func (x *exchange) noteRequest(r *http.Request, kind policy.Kind) {
	i := tracked.RequestInfo{IsMCP: format.IsMCP(r), EndsWithStatus: kind == policy.Infinite && format.EndsWithStatus(r)}
	if i.IsMCP {
		i.MCPSession = format.MCPSession(r)
	}
	if i != (tracked.RequestInfo{}) {
		x.SetRequestInfo(i)
	}
}

// An mcpSession is a session that has open calls.
type mcpSession struct {
	calls   map[*tracked.Response]bool // the open ones
	waiting []*tracked.Ending          // of standing streams
}

// mcpSessions returns the sessions that have open calls, by their ids.
func mcpSessions(open []*tracked.Response) map[string]*mcpSession {
	sessions := make(map[string]*mcpSession)
	for _, r := range open {
		id := r.RequestInfo().MCPSession
		isCall := id != "" && r.Request().Method == http.MethodPost && r.Kind() != policy.Infinite
		if !isCall || !r.WatchEnd() {
			continue
		}
		session := sessions[id]
		if session == nil {
			session = &mcpSession{calls: make(map[*tracked.Response]bool)}
			sessions[id] = session
		}
		session.calls[r] = true
	}
	return sessions
}

// ruleOf returns the rule by which a response is planned: its own, but for a standing stream whose
// session has open calls, which is noted as waiting and left alone to the drain's end.
// [scheduler.callEnded] plans it anew before that.
func (dr *drain) ruleOf(e *tracked.Ending, kind policy.Kind) policy.Rule {
	rule := e.Response.Rule()
	if len(dr.sessions) == 0 || kind != policy.Infinite {
		return rule
	}
	req := e.Response.Request()
	if session := dr.sessions[e.Response.RequestInfo().MCPSession]; session != nil && req.Method == http.MethodGet {
		session.waiting = append(session.waiting, e)
		rule.Grace = policy.ToTheEnd
	}
	return rule
}

// callEnded takes r, which has ended, from the calls of its session, if it is one of them. With the
// last of them it plans the session's standing streams anew.
func (s *scheduler) callEnded(r *tracked.Response) {
	if !s.hasPlan() || len(s.drain.sessions) == 0 {
		return
	}
	id := r.RequestInfo().MCPSession
	session := s.drain.sessions[id]
	if session == nil || !session.calls[r] {
		return
	}
	delete(session.calls, r)
	if len(session.calls) > 0 {
		return
	}
	delete(s.drain.sessions, id)
	for _, e := range session.waiting {
		if e.Queued > 0 && e.Kind == policy.Infinite && e.Stage == stageFarewell { // it still waits
			s.replan(e, policy.Infinite)
		}
	}
}
