package mcp

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/sse"
)

// Calls ends the responses of MCP servers in a drain so that no result is lost and every client can
// go on:
//
//   - A call that runs is let finish, over the old transport too: its standing stream counts as
//     finite until the results of all calls are on it.
//   - While the server drains, what a running call may wait for is served: answers to requests of
//     the server (elicitation, sampling, roots), also those that are the same call once more (from
//     2026-07-28), notifications, and the DELETE of a session. A new call is refused in a way that
//     leaves the client's session as it is: with 503 and Retry-After, over the old transport with an
//     error of JSON-RPC. None of the known clients repeats it by itself.
//   - A subscription (subscriptions/listen) ends with the result that the protocol wants there, and
//     a stream of the old transport with a log message (notifications/message). Both carry the
//     client's reconnect slot in a retry field.
//
// The zero Calls is ready to use. It must not be copied after first use. Its methods may be called
// concurrently.
type Calls struct {
	// Policy gives the rules of all requests, to which Calls only adds. Nil: the zero rule. It must
	// not change after the first request.
	Policy policy.Policy

	slots    atomic.Uint64 // given with refusals
	sessions sync.Map      // the *session of the old transport, by sessionKey
	streams  sync.Map      // the paths at which the old transport's streams are
	paths    atomic.Int32  // how many those are
}

// Rule implements [policy.Policy]: that of c.Policy, and Admit for the MCP requests that only
// [Calls.Handler] can serve or refuse as they need it. So every MCP handler of the server has to be
// inside it.
func (c *Calls) Rule(r *http.Request) policy.Rule {
	var rule policy.Rule
	if c.Policy != nil {
		rule = c.Policy.Rule(r)
	}
	switch r.Method {
	case http.MethodPost, http.MethodDelete:
		rule.Admit = rule.Admit || format.IsMCP(r) || c.session(r) != nil
	case http.MethodGet:
		rule.Admit = rule.Admit || c.isStream(r)
	}
	return rule
}

// Check returns what is wrong with c.Policy, as [policy.Check] does.
func (c *Calls) Check(b policy.Budget) error {
	if b.Validate() != nil {
		return nil // whoever checks c says so
	}
	return policy.Check(c.Policy, b)
}

// Handler wraps the handler of an MCP server, or one that leads to it. It must be inside of
// middleware.Graceful, and does nothing where that is missing.
//
// It reads ahead in a request only where it has to know the message before the handler does: of a
// POST that comes while the server drains, one that opens a subscription, and one to a session of
// the old transport. It waits for 1 MiB or the end, whichever is first, and the handler gets all of
// it. While the server drains that may take 5 s; the request is refused then, as one that is too
// long to be known. Whether a longer message is a call may remain unknown; it is refused then while the server
// drains, with 503 in any case.
func (c *Calls) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("mcp: Handler was given a nil http.Handler to wrap")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		response := tracked.From(r.Context())
		switch {
		case response == nil:
			next.ServeHTTP(w, r)
		case sse.Accepts(r) && format.MCPSession(r) == "":
			c.serveStream(next, w, r, response)
		case r.Method == http.MethodPost:
			c.servePost(next, w, r, response)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// serveStream serves a GET, which may turn out to be a standing stream of the old transport.
func (c *Calls) serveStream(next http.Handler, w http.ResponseWriter, r *http.Request, response *tracked.Response) {
	if response.Late() && c.isStream(response.Request()) {
		response.Refuse()
		if slot := c.slot(response); sse.FromEventSource(r) {
			sse.Refuse(w, r, slot)
		} else { // the Go clients would wait for the endpoint event
			unavailable(w, slot)
		}
		return
	}
	watch := &watchedStream{forward: forward{w}, calls: c, response: response}
	defer watch.close()
	next.ServeHTTP(watch, r)
}

func (c *Calls) servePost(next http.Handler, w http.ResponseWriter, r *http.Request, response *tracked.Response) {
	s := c.session(response.Request())
	if s == nil && !response.Late() && !format.IsMCPSubscription(r) {
		next.ServeHTTP(w, r)
		return
	}
	var ahead *ahead
	if response.Late() {
		ahead = readAheadLate(w, r)
	} else {
		ahead = readAhead(r)
	}
	if response.Late() && !ahead.mayPass() {
		if s != nil && ahead.whole && s.refuse(ahead, c.slot(response)) {
			response.Refuse()
			w.WriteHeader(http.StatusAccepted)
			return
		}
		c.refuse(w, response)
		return
	}
	if id := ahead.listens(); id != "" && format.IsMCPSubscription(r) {
		response.OnFarewell(func(time.Duration) policy.Farewell {
			return policy.Farewell{Event: "message", Data: listenResult(id)}
		})
	}
	if s == nil {
		next.ServeHTTP(w, r)
		return
	}
	if !s.begin(ahead) {
		c.refuse(w, response)
		return
	}
	status := &statusWriter{forward: forward{w}}
	accepted := false
	defer func() { s.finish(ahead, accepted) }()
	next.ServeHTTP(status, r)
	accepted = status.status < 300
}

// refuse answers a call that came too late, in a way that the clients' sessions survive: as of
// go-sdk 1.8, mcp-go 1.2 and the TypeScript SDK 1.32 the call alone fails then.
func (c *Calls) refuse(w http.ResponseWriter, response *tracked.Response) {
	response.Refuse()
	unavailable(w, c.slot(response))
}

func unavailable(w http.ResponseWriter, slot time.Duration) {
	w.Header().Set("Retry-After", strconv.FormatInt(int64((slot+time.Second-1)/time.Second), 10))
	w.Header().Set("Connection", "close")
	http.Error(w, "the server is shutting down; please come again", http.StatusServiceUnavailable)
}

// slot returns a reconnect slot for one more client.
func (c *Calls) slot(response *tracked.Response) time.Duration {
	c.slots.CompareAndSwap(0, rand.Uint64())
	return response.Rule().Reconnect.Slot(c.slots.Add(1))
}
