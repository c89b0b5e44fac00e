package middleware

import (
	"net/http"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// A client of the Model Context Protocol that comes back for its standing stream reaches another
// server, which doesn't know its session and says so with 404. The official Go client then ends the
// session, and with it the calls whose results are still to come from here. So the standing stream
// of a session is told only when the calls of that session have ended, or else at the drain's end.

// noteRequest takes from the header of a request what the drain may have to know, while its handler
// can't change it: of a POST, whose answer may be long in coming, and of a stream. kind is what is
// known of that.
func (x *exchange) noteRequest(r *http.Request, kind policy.Kind) {
	if r.Method != http.MethodPost && kind != policy.Infinite {
		return
	}
	a := tracked.Asked{IsMCP: format.IsMCP(r), EndsWithStatus: kind == policy.Infinite && format.EndsWithStatus(r)}
	if a.IsMCP {
		a.MCPSession = format.MCPSession(r)
	}
	if a != (tracked.Asked{}) {
		x.SetAsked(a)
	}
}

// An mcpSession is what a drain knows of one session.
type mcpSession struct {
	calls    map[*tracked.Response]bool // that are open
	standing []*tracked.Ending          // streams that wait for them
}

// mcpSessions returns the sessions of which calls are open, by their ids.
func mcpSessions(open []*tracked.Response) map[string]*mcpSession {
	var sessions map[string]*mcpSession
	for _, r := range open {
		id := r.Asked().MCPSession
		if id == "" || r.Request().Method != http.MethodPost || r.Kind() == policy.Infinite || !r.WatchEnd() {
			continue
		}
		if sessions == nil {
			sessions = make(map[string]*mcpSession)
		}
		if sessions[id] == nil {
			sessions[id] = &mcpSession{calls: make(map[*tracked.Response]bool)}
		}
		sessions[id].calls[r] = true
	}
	return sessions
}

// ruleOf returns the rule by which a response is planned: a standing stream whose session has open
// calls is left alone to the end, or until [scheduler.callEnded] plans it anew.
func (dr *drain) ruleOf(e *tracked.Ending, kind policy.Kind) policy.Rule {
	rule := e.Response.Rule()
	if len(dr.sessions) == 0 || kind != policy.Infinite {
		return rule
	}
	req := e.Response.Request()
	if session := dr.sessions[e.Response.Asked().MCPSession]; session != nil && req.Method == http.MethodGet {
		session.standing = append(session.standing, e)
		rule.Grace = policy.ToTheEnd
	}
	return rule
}

// callEnded plans the standing streams of a session anew whose last call has ended.
func (s *scheduler) callEnded(r *tracked.Response) {
	if !s.hasPlan() || len(s.drain.sessions) == 0 {
		return
	}
	id := r.Asked().MCPSession
	session := s.drain.sessions[id]
	if session == nil || !session.calls[r] {
		return
	}
	if delete(session.calls, r); len(session.calls) > 0 {
		return
	}
	delete(s.drain.sessions, id)
	for _, e := range session.standing {
		if e.Queued > 0 && e.Kind == policy.Infinite && e.Stage == stageFarewell {
			s.replan(e, policy.Infinite)
		}
	}
}
