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

// A session is a standing stream of the old transport, and the calls whose results are still to come
// on it. While there is one, the stream counts as finite.
type session struct {
	response *tracked.Response
	stream   *watchedStream

	mu    sync.Mutex     // guards following
	posts int            // requests that may bring calls and haven't been answered
	open  map[string]int // calls, by their ids as sameID makes them
}

// sessionKey returns what tells the requests to a session from all others: the query of the address
// that its clients post to, or where that has none, its path, of which a proxy may change more.
func sessionKey(u *url.URL) string { return cmp.Or(u.RawQuery, u.Path) }

// session returns the session that a POST is to, or nil.
func (c *Calls) session(r *http.Request) *session {
	if r.Method != http.MethodPost {
		return nil
	}
	s, _ := c.sessions.Load(sessionKey(r.URL))
	known, _ := s.(*session)
	return known
}

// addSession begins the session whose clients post to endpoint, and returns its key.
func (c *Calls) addSession(endpoint string, s *session) (key string) {
	u, err := s.response.Request().URL.Parse(endpoint)
	if err != nil {
		return ""
	}
	key = sessionKey(u)
	c.sessions.Store(key, s)
	if _, known := c.streams.Load(s.response.Request().URL.Path); !known && c.paths.Load() < maxPaths {
		c.streams.Store(s.response.Request().URL.Path, nil)
		c.paths.Add(1)
	}
	return key
}

// maxPaths is how many paths of the old transport's streams are known, or a few more.
const maxPaths = 1000

// isStream reports whether a GET is for a stream of the old transport, going by its path.
func (c *Calls) isStream(r *http.Request) bool {
	_, known := c.streams.Load(r.URL.Path)
	return known
}

func (c *Calls) removeSession(key string, s *session) { c.sessions.CompareAndDelete(key, s) }

// begin notes the calls of a request before its handler knows of them. It reports false if the
// stream can't carry their results any more, since it has been told.
func (s *session) begin(a *ahead) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.whole && !a.hasCall() { // the stream keeps its slot
		return !s.response.FarewellSent() && !s.response.Canceled()
	}
	if !s.holdLocked() {
		return false
	}
	a.session = s
	s.noteLocked(a)
	return true
}

// holdLocked keeps the stream open for a request. It reports false where that comes too late.
func (s *session) holdLocked() bool {
	s.response.Tag(policy.Finite) // from here on no farewell begins
	if s.response.FarewellSent() || s.response.Canceled() {
		s.tagLocked()
		return false
	}
	s.posts++
	return true
}

// refuse refuses the calls of a request on the stream: go-sdk's client takes an error status for the
// session's end, and couldn't answer any more what a running call asks. It reports false where the
// stream has been told.
func (s *session) refuse(a *ahead, slot time.Duration) bool {
	s.mu.Lock()
	held := s.holdLocked()
	s.mu.Unlock()
	if !held {
		return false
	}
	for _, m := range a.scanner.found {
		if m.isCall() {
			s.stream.inject(refusal(m.id, slot))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posts--
	s.tagLocked()
	return true
}

// note follows more of a request's body, and notes the calls that are complete with it.
func (s *session) note(a *ahead, p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = a.scanner.Write(p)
	s.noteLocked(a)
}

func (s *session) noteLocked(a *ahead) {
	for ; a.noted < len(a.scanner.found); a.noted++ {
		if m := a.scanner.found[a.noted]; m.isCall() {
			if s.open == nil {
				s.open = make(map[string]int)
			}
			s.open[sameID(m.id)]++
		}
	}
}

// finish is called when the handler of a request has returned, and says whether it took the messages.
// If not, no result will come, nor does one for a call that a message cancels.
func (s *session) finish(a *ahead, accepted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range a.scanner.found {
		if m.isCall() && !accepted {
			s.endLocked(sameID(m.id))
		}
		if accepted && m.method == "notifications/cancelled" && m.cancels != "" {
			s.endLocked(sameID(m.cancels))
		}
	}
	if a.session != nil {
		s.posts--
	}
	s.tagLocked()
}

// end notes that a call's result has been written.
func (s *session) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(sameID(id))
	s.tagLocked()
}

func (s *session) endLocked(id string) {
	if s.open[id] > 1 {
		s.open[id]--
	} else {
		delete(s.open, id)
	}
}

// tagLocked has the stream end with the drain once nothing is to come.
func (s *session) tagLocked() {
	if s.posts == 0 && len(s.open) == 0 {
		s.response.Tag(policy.Auto)
	}
}

// setFarewell sets what the stream's client is told, where the rule doesn't say: a message that every
// client knows. go-sdk's takes even a retry field by itself for a message, and fails on it.
func setFarewell(response *tracked.Response) {
	rule := response.Rule()
	if rule.Ending == policy.AutoEnding {
		response.Refine(policy.Rule{Ending: policy.CleanEnding})
	}
	if f := rule.Farewell; f.Event == "" && f.Data == "" && f.Send == policy.SendAll {
		response.OnFarewell(func(time.Duration) policy.Farewell {
			return policy.Farewell{Event: "message", Data: goodbye}
		})
	}
}

const goodbye = `{"jsonrpc":"2.0","method":"notifications/message","params":` +
	`{"level":"notice","logger":"lastcall","data":"the server is shutting down; come back in {retry} ms"}}`
