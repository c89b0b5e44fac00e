package websocket

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// A door is a server whose handler can be replaced: a Drainer drains but once, and a server can be had for many rounds.
type door struct {
	*httptest.Server
	handler atomic.Pointer[http.Handler]
}

func open(tb testing.TB, secure bool) *door {
	d := new(door)
	d.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*d.handler.Load()).ServeHTTP(w, r)
	}))
	if secure {
		d.StartTLS()
	} else {
		d.Start()
	}
	tb.Cleanup(d.Close)
	return d
}

func (d *door) lead(h http.Handler) { d.handler.Store(&h) }
func (d *door) addr() string        { return d.Listener.Addr().String() }

// A site is a library behind its proxies: the first door is for clients, the others are plain.
type site struct {
	library
	doors []*door
}

func newSite(tb testing.TB, l library, secure bool) *site {
	s := &site{library: l, doors: []*door{open(tb, secure)}}
	for range l.proxies {
		s.doors = append(s.doors, open(tb, false))
	}
	return s
}

// A shift is a site with fresh Drainers. What stands behind a proxy as the last is bare, as other people's are.
type shift struct {
	drainers []*middleware.Drainer // by door
	playing  sync.WaitGroup        // the handlers
}

func (s *site) begin(rule policy.Rule, play func(ctx context.Context, c conn)) *shift {
	w := new(shift)
	for i, door := range s.doors {
		last := i == len(s.doors)-1
		var h http.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			w.playing.Add(1)
			defer w.playing.Done()
			s.serve(rw, r, func(c conn) { play(r.Context(), c) })
		})
		if !last {
			h = proxy(s.doors[i+1].addr())
		}
		if i == 0 || !last {
			d := &middleware.Drainer{Policy: rule, Budget: policy.Budget{Total: 2 * patience}}
			w.drainers = append(w.drainers, d)
			h = middleware.Graceful(d)(h)
		}
		door.lead(h)
	}
	return w
}

// dial connects a strict client.
func (s *site) dial(tb testing.TB, secure bool) *peer {
	return dial(tb, s.doors[0].addr(), secure)
}

// drained has a Drainer end, and gives its report.
func drained(tb require.TestingT, d *middleware.Drainer) middleware.Report {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(tb, d.Shutdown(ctx))
	return d.Report()
}
