package mcp

import (
	"cmp"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
)

// An sseSession is a session of HTTP+SSE: a standing stream, and the calls whose results are still
// to come on it. While there are any, the stream counts as finite.
type sseSession struct {
	response *tracked.Response
	stream   *streamWriter
	key      string // in Calls.sessions; empty: it isn't there

	mu    sync.Mutex     // guards following
	posts int            // requests with calls, or perhaps with calls, whose handlers run
	calls map[string]int // how often each is open, by canonicalID
}

// sessionKey returns what tells the requests to a session from all others: the query of the address
// that its clients post to, or where that has none, its path, of which a proxy may change more.
func sessionKey(u *url.URL) string { return cmp.Or(u.RawQuery, u.Path) }

// sessionOf returns the session that a POST is to, or nil.
func (c *Calls) sessionOf(r *http.Request) *sseSession {
	if r.Method != http.MethodPost {
		return nil
	}
	v, _ := c.sessions.Load(sessionKey(r.URL))
	session, _ := v.(*sseSession)
	return session
}

// addSession adds the session whose client posts to endpoint, unless that is no address.
func (c *Calls) addSession(endpoint string, s *sseSession) {
	stream := s.response.Request().URL
	u, err := stream.Parse(endpoint)
	if err != nil {
		return
	}
	s.key = sessionKey(u)
	c.sessions.Store(s.key, s)
	if _, known := c.streamPaths.Load(stream.Path); !known && c.pathCount.Load() < maxPaths {
		c.streamPaths.Store(stream.Path, nil)
		c.pathCount.Add(1)
	}
}

// maxPaths is how many paths of HTTP+SSE streams are known, or a few more.
const maxPaths = 1000

// isStream reports whether a GET is for an HTTP+SSE stream, going by its path.
func (c *Calls) isStream(r *http.Request) bool {
	_, known := c.streamPaths.Load(r.URL.Path)
	return known
}

// isOver reports whether the stream has been told or canceled, and carries no more results.
func (s *sseSession) isOver() bool { return s.response.FarewellSent() || s.response.Canceled() }

// holdStreamLocked keeps the stream open for a request, until posts has been lowered again. It
// reports false where that comes too late.
func (s *sseSession) holdStreamLocked() bool {
	s.response.Tag(policy.Finite) // from here on no farewell begins
	if s.isOver() {
		s.releaseStreamLocked()
		return false
	}
	s.posts++
	return true
}

// releaseStreamLocked lets the stream end with the drain, if no result is to come on it any more.
func (s *sseSession) releaseStreamLocked() {
	if s.posts == 0 && len(s.calls) == 0 {
		s.response.Tag(policy.Auto)
	}
}

// beginPost notes the calls of a request before its handler knows of them. It reports false if the
// stream can't carry their results any more.
func (s *sseSession) beginPost(b *postBody) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.whole && !b.hasCall() { // the stream keeps its slot
		return !s.isOver()
	}
	if !s.holdStreamLocked() {
		return false
	}
	b.session = s
	s.noteCallsLocked(b)
	return true
}

// noteCalls follows more of a request's body, and notes the calls that are complete with it.
func (s *sseSession) noteCalls(b *postBody, p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = b.scanner.Write(p)
	s.noteCallsLocked(b)
}

func (s *sseSession) noteCallsLocked(b *postBody) {
	for ; b.noted < len(b.scanner.found); b.noted++ {
		if m := b.scanner.found[b.noted]; m.isCall() {
			if s.calls == nil {
				s.calls = make(map[string]int)
			}
			s.calls[canonicalID(m.id)]++
		}
	}
}

// endPost is called when the handler of a request has returned. accepted says whether it took the
// messages: if not, no result will come. Nor does one for a call that a message cancels.
func (s *sseSession) endPost(b *postBody, accepted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range b.scanner.found {
		if m.isCall() && !accepted {
			s.endCallLocked(m.id)
		}
		if accepted && m.method == "notifications/cancelled" && m.cancels != "" {
			s.endCallLocked(m.cancels)
		}
	}
	if b.session != nil {
		s.posts--
	}
	s.releaseStreamLocked()
}

// refuseCalls refuses the calls of a request on the stream: go-sdk's client takes an error status
// for the session's end, and couldn't answer any more what a running call asks. It reports false
// where that can't be done: the stream is over, or not all of the calls are known.
func (s *sseSession) refuseCalls(b *postBody, slot time.Duration) bool {
	s.mu.Lock()
	held := b.whole && s.holdStreamLocked()
	s.mu.Unlock()
	if !held {
		return false
	}
	for _, m := range b.scanner.found {
		if m.isCall() {
			s.stream.insert(refusal(m.id, slot))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posts--
	s.releaseStreamLocked()
	return true
}

// endCall notes that the result of the call with this id has been written.
func (s *sseSession) endCall(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endCallLocked(id)
	s.releaseStreamLocked()
}

func (s *sseSession) endCallLocked(id string) {
	id = canonicalID(id)
	if s.calls[id] > 1 {
		s.calls[id]--
	} else {
		delete(s.calls, id)
	}
}

// setFarewell sets what a stream's client is told, where the rule doesn't say: a message that every
// client knows. go-sdk's takes even a retry field by itself for a message, and fails on it.
func setFarewell(response *tracked.Response) {
	rule := response.Rule()
	if rule.Ending == policy.AutoEnding {
		response.Refine(policy.Rule{Ending: policy.CleanEnding})
	}
	if f := rule.Farewell; f.Event == "" && f.Data == "" && f.Send == policy.SendAll {
		setLastMessage(response, goodbye)
	}
}

func setLastMessage(response *tracked.Response, message string) {
	response.OnFarewell(func(time.Duration) policy.Farewell {
		return policy.Farewell{Event: "message", Data: message}
	})
}

const goodbye = `{"jsonrpc":"2.0","method":"notifications/message","params":` +
	`{"level":"notice","logger":"lastcall","data":"the server is shutting down; come back in {retry} ms"}}`
