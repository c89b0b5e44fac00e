package mcp

import (
	"math/rand/v2"
	"net/http"
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
//   - A call that runs is let finish. Over HTTP+SSE the standing stream counts as finite until the
//     results of all calls are on it.
//   - While the server drains, what a running call may wait for is served: answers to requests of
//     the server (elicitation, sampling, roots), which from 2026-07-28 on are the same call once
//     more, notifications, and the DELETE of a session. A new call is refused in a way that leaves
//     the client's session as it is: with 503 and Retry-After, over HTTP+SSE with an error of
//     JSON-RPC. None of the known clients repeats it by itself.
//   - A subscription (subscriptions/listen) ends with the result that the protocol wants there, and
//     an HTTP+SSE stream with a log message (notifications/message). Both carry the client's
//     reconnect slot in a retry field.
//
// The zero Calls is ready to use. It must not be copied after first use. Its methods may be called
// concurrently.
type Calls struct {
	// Policy gives the rules of all requests, to which Calls only adds. Nil: the zero rule. It must
	// not change after the first request.
	Policy policy.Policy

	lastSlotNumber atomic.Uint64 // given with a refusal

	sessions    sync.Map     // by sseSession.key the open *sseSession
	streamPaths sync.Map     // by path nil, for each one at which an HTTP+SSE stream was open
	pathCount   atomic.Int32 // of streamPaths
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
		rule.Admit = rule.Admit || format.IsMCP(r) || c.sessionOf(r) != nil
	case http.MethodGet:
		rule.Admit = rule.Admit || c.isStream(r)
	}
	return rule
}

// Check returns what is wrong with the rules of c.Policy, for [policy.Check].
func (c *Calls) Check(b policy.Budget) error {
	if b.Validate() != nil {
		return nil // policy.Check has said so, and would say it again below
	}
	return policy.Check(c.Policy, b)
}

// Handler wraps the handler of an MCP server, or one that leads to it. It must be inside of
// middleware.Graceful, and does nothing where that is missing.
//
// Before it calls the handler it reads the beginning of a POST that comes while the server drains,
// that opens a subscription, or that belongs to an HTTP+SSE session: 1 MiB, or all if that is less.
// The handler gets all of it. While the server drains it reads for 5 s at most. In a body that is
// longer, or comes more slowly, a call may remain unseen, so while the server drains one that isn't
// clearly an answer is refused, with 503 over either transport.
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
			c.serveGet(next, w, r, response)
		case r.Method == http.MethodPost:
			c.servePost(next, w, r, response)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// serveGet serves a GET, which may turn out to be an HTTP+SSE stream.
func (c *Calls) serveGet(next http.Handler, w http.ResponseWriter, r *http.Request, response *tracked.Response) {
	late := response.SinceClose() && c.isStream(response.Request())
	switch {
	case late && sse.FromEventSource(r):
		response.Refuse()
		sse.Refuse(w, r, c.slot(response))
	case late: // one of the Go clients, which would wait for the endpoint event
		c.refuse(w, response)
	default:
		stream := &streamWriter{flusher: flusher{w}, calls: c, response: response}
		defer stream.close()
		next.ServeHTTP(stream, r)
	}
}

// servePost serves a POST, which may have messages for an HTTP+SSE session, open a subscription, or
// come too late.
func (c *Calls) servePost(next http.Handler, w http.ResponseWriter, r *http.Request, response *tracked.Response) {
	session := c.sessionOf(response.Request())
	subscribes := format.IsMCPSubscription(r)
	if session == nil && !response.SinceClose() && !subscribes {
		next.ServeHTTP(w, r)
		return
	}
	body := readAhead(w, r, response.SinceClose())
	if response.SinceClose() && !body.mayPass() {
		if session != nil && session.refuseCalls(body, c.slot(response)) {
			response.Refuse()
			w.WriteHeader(http.StatusAccepted)
		} else {
			c.refuse(w, response)
		}
		return
	}
	if id := body.subscriptionID(); subscribes && id != "" {
		setLastMessage(response, subscriptionResult(id))
	}
	switch {
	case session == nil:
		next.ServeHTTP(w, r)
	case session.beginPost(body):
		status := &statusWriter{flusher: flusher{w}}
		accepted := false
		defer func() { session.endPost(body, accepted) }()
		next.ServeHTTP(status, r)
		accepted = status.status < 300
	default:
		c.refuse(w, response)
	}
}

// refuse answers a request that came too late with 503, after which the clients' sessions go on: as
// of go-sdk 1.8, mcp-go 1.2 and the TypeScript SDK 1.32 the call alone fails.
func (c *Calls) refuse(w http.ResponseWriter, response *tracked.Response) {
	response.Refuse()
	w.Header().Set("Retry-After", format.RetryAfter(c.slot(response)))
	w.Header().Set("Connection", "close")
	http.Error(w, "the server is shutting down; please come again", http.StatusServiceUnavailable)
}

// slot returns a reconnect slot for one more client.
func (c *Calls) slot(response *tracked.Response) time.Duration {
	c.lastSlotNumber.CompareAndSwap(0, rand.Uint64())
	return response.Rule().Reconnect.Slot(c.lastSlotNumber.Add(1))
}
