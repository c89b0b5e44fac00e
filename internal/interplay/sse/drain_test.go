package sse

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// A route is the way from the library to the client. It starts the server that the client asks, and
// the one that has the library, which may be the same.
type route struct {
	name string
	// timeout is the rule's. A proxy stops reading when its context ends, even within an event, so
	// that it needs some time to come to the end of one.
	timeout time.Duration
	start   func(t *testing.T, p protocol, graceful wrap, r router, h http.Handler) (front, back *server)
}

var routes = []route{
	{"direct", policy.AtOnce, func(t *testing.T, p protocol, graceful wrap, r router, h http.Handler) (front, back *server) {
		front = serve(t, p, r.with(graceful, h))
		return front, front
	}},
	{"proxy drains", 250 * time.Millisecond, func(t *testing.T, p protocol, graceful wrap, r router, h http.Handler) (front, back *server) {
		back = serve(t, p, h)
		return serve(t, p, r.with(graceful, proxy(back))), back
	}},
	{"behind a proxy", policy.AtOnce, func(t *testing.T, p protocol, graceful wrap, r router, h http.Handler) (front, back *server) {
		back = serve(t, p, r.with(graceful, h))
		return serve(t, p, proxy(back)), back
	}},
}

// TestDrain drains each library under each router on each route and protocol, at random moments and
// under load. The strict client has to see whole events, at most one farewell, as the last event,
// and a clean end, or if it is no EventSource, a break.
func TestDrain(t *testing.T) {
	rounds := harness.Int(t, "LASTCALL_ROUNDS", 2)
	var all totals
	t.Cleanup(func() { t.Log(&all) })
	cells := uint64(0)
	for _, l := range libraries {
		for _, route := range routes {
			for _, r := range routers {
				for _, p := range protocols {
					cell := cells
					cells++
					t.Run(fmt.Sprintf("%s/%s/%s/%s", l.name, route.name, r.name, p.name), func(t *testing.T) {
						t.Parallel()
						for seed := uint64(1); seed <= uint64(rounds) && !t.Failed(); seed++ {
							random := rand.New(rand.NewPCG(seed, cell))
							drainOnce(t, l, route, r, p, seed, random, &all)
						}
					})
				}
			}
		}
	}
}

// totals count what the clients of all rounds saw.
type totals struct{ told, refused, events atomic.Int64 }

func (a *totals) String() string {
	return fmt.Sprintf("%d streams told, %d refused, %d events", a.told.Load(), a.refused.Load(), a.events.Load())
}

// A countdown is over when so many clients have their answer and so many events have been read.
type countdown struct {
	done chan struct{} // closed when it is over

	mu              sync.Mutex // guards following
	clients, events int        // still to come
	over            bool
}

func newCountdown(clients, events int) *countdown {
	c := &countdown{done: make(chan struct{}), clients: clients, events: events}
	c.count(0, 0)
	return c
}

func (c *countdown) wait(t *testing.T) {
	t.Helper()
	limit := time.NewTimer(harness.Timeout)
	defer limit.Stop()
	select {
	case <-c.done:
	case <-limit.C:
		t.Fatal("the events don't come")
	}
}

func (c *countdown) count(clients, events int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clients -= clients
	c.events -= events
	if c.clients <= 0 && c.events <= 0 && !c.over {
		c.over = true
		close(c.done)
	}
}

// stop ends the countdown, since nothing more will come.
func (c *countdown) stop() { c.count(1000, 1000) }

// running counts the calls of a handler that haven't returned.
type running struct {
	n   atomic.Int64
	all sync.WaitGroup
}

func (i *running) count(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.all.Add(1)
		defer i.all.Done()
		i.n.Add(1)
		defer i.n.Add(-1)
		h.ServeHTTP(w, r)
	})
}

// drainOnce drains a few clients of one server. In every second round it waits for no client and
// hardly any event, so that some clients come when the drain has just started.
func drainOnce(t *testing.T, l library, route route, r router, p protocol, seed uint64, random *rand.Rand, all *totals) {
	const clients = 3
	d := &middleware.Drainer{Budget: policy.Budget{Total: 6 * mercy}, Policy: policy.Rule{
		Mercy:   2 * mercy,
		Timeout: route.timeout + time.Duration(random.IntN(2))*5*time.Millisecond,
		Spread:  []time.Duration{0, 5 * time.Millisecond}[random.IntN(2)],
	}}
	src := l.start(t)
	var drained, served running
	graceful := func(h http.Handler) http.Handler { return middleware.Graceful(d)(drained.count(h)) }
	front, back := route.start(t, p, graceful, r, served.count(src))
	stop := src.publishing(random.Uint64())

	m := newCountdown(clients, random.IntN(60))
	if seed%2 == 0 {
		m = newCountdown(0, random.IntN(3))
	}
	var events, told, refused atomic.Int64
	var reading sync.WaitGroup
	for client := range clients {
		reading.Go(func() {
			// Every second client is no EventSource, and is broken off behind its farewell.
			var header []string
			broken := client%2 == 1
			if broken {
				header = []string{"User-Agent", "Go-http-client/1.1"}
			}
			res, err := front.get(header...)
			if !assert.NoError(t, err) {
				m.stop()
				return
			}
			defer res.Body.Close()
			m.count(1, 0)
			e, err := readStream(res.Body, func() { m.count(0, 1) })
			if broken {
				assert.Error(t, err, "seed %d", seed)
				assert.True(t, e.told || e.refused, "seed %d: %v", seed, err)
			} else {
				assert.NoError(t, err, "seed %d", seed)
			}
			events.Add(int64(e.events))
			if e.told {
				told.Add(1)
			}
			if e.refused {
				refused.Add(1)
			}
		})
	}
	m.wait(t)
	harness.Shutdown(t, d, "seed %d", seed)
	assert.Zero(t, drained.n.Load(), "handlers that still run")
	reading.Wait()
	stop()
	front.close()
	back.close()
	served.all.Wait() // behind a proxy that was drained, the handlers end by themselves
	src.close()

	report := d.Report() // now, since some clients may have been refused after Shutdown
	assert.EqualValues(t, clients, told.Load()+refused.Load(), "seed %d: each is told or refused: %+v", seed, report)
	assert.EqualValues(t, told.Load(), report.Told, "seed %d: %+v", seed, report)
	assert.EqualValues(t, refused.Load(), report.Refused, "seed %d: %+v", seed, report)
	all.told.Add(told.Load())
	all.refused.Add(refused.Load())
	all.events.Add(events.Load())
}
