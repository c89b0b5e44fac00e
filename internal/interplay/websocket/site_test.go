package websocket

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// A server is one whose handler can be replaced. A Drainer drains only once; this way a server can
// be used for many rounds, each with a Drainer of its own.
type server struct {
	*httptest.Server
	handler atomic.Pointer[http.Handler]
}

func newServer(tb testing.TB, secure bool) *server {
	s := new(server)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*s.handler.Load()).ServeHTTP(w, r)
	}))
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	tb.Cleanup(s.Close)
	return s
}

func (s *server) setHandler(h http.Handler) { s.handler.Store(&h) }
func (s *server) addr() string              { return s.Listener.Addr().String() }

// A site is a library behind its proxies. Clients connect to the first server; only that one may
// use TLS.
type site struct {
	library
	servers []*server
}

func newSite(tb testing.TB, l library, secure bool) *site {
	s := &site{library: l, servers: []*server{newServer(tb, secure)}}
	for range l.proxies {
		s.servers = append(s.servers, newServer(tb, false))
	}
	return s
}

// A session is one use of a site, with new Drainers.
type session struct {
	drainers []*middleware.Drainer // one for each server that drains
	handlers sync.WaitGroup        // the handlers that run
}

// start has the site serve WebSockets with handle. Every server drains by rule, but not one that is
// behind a proxy and is no proxy itself.
func (s *site) start(rule policy.Rule, handle func(ctx context.Context, c conn)) *session {
	started := new(session)
	for i, server := range s.servers {
		last := i == len(s.servers)-1
		var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			started.handlers.Add(1)
			defer started.handlers.Done()
			s.serve(w, r, func(c conn) { handle(r.Context(), c) })
		})
		if !last {
			h = proxy(s.servers[i+1].addr())
		}
		if i == 0 || !last {
			d := &middleware.Drainer{Policy: rule, Budget: policy.Budget{Total: 2 * harness.Timeout}}
			started.drainers = append(started.drainers, d)
			h = middleware.Graceful(d)(h)
		}
		server.setHandler(h)
	}
	return started
}

// dial connects a strict client to the site.
func (s *site) dial(tb testing.TB, secure bool) *peer {
	return dial(tb, s.servers[0].addr(), secure)
}
