package sse

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// A route is the way from the library to the client.
type route struct {
	name string
	// A proxy stops reading when its context ends, and be it within an event. So its rule has to leave it the time to come
	// to the end of one.
	timeout time.Duration
	begin   func(t *testing.T, p protocol, graceful wrap, r router, h http.Handler) (front, back *site)
}

var routes = []route{
	{"direct", policy.AtOnce, func(t *testing.T, p protocol, graceful wrap, r router, h http.Handler) (front, back *site) {
		front = serve(t, p, r.with(graceful, h))
		return front, front
	}},
	{"proxy drains", 250 * time.Millisecond, func(t *testing.T, p protocol, graceful wrap, r router, h http.Handler) (front, back *site) {
		back = serve(t, p, h)
		return serve(t, p, r.with(graceful, proxy(back))), back
	}},
	{"behind a proxy", policy.AtOnce, func(t *testing.T, p protocol, graceful wrap, r router, h http.Handler) (front, back *site) {
		back = serve(t, p, r.with(graceful, h))
		return serve(t, p, proxy(back)), back
	}},
}

// TestInterplay drains each library under each router on each route and protocol, at random moments and under load. A
// strict client says what it saw: whole events, one farewell at most and as the last, and a clean end.
func TestInterplay(t *testing.T) {
	rounds := number(t, "LASTCALL_ROUNDS", 2)
	var all tally
	t.Cleanup(func() { t.Log(&all) })
	for _, l := range libraries {
		for _, way := range routes {
			for _, r := range routers {
				for _, p := range protocols {
					t.Run(fmt.Sprintf("%s/%s/%s/%s", l.name, way.name, r.name, p.name), func(t *testing.T) {
						t.Parallel()
						for seed := uint64(1); seed <= uint64(rounds) && !t.Failed(); seed++ {
							drainOnce(t, l, way, r, p, seed, &all)
						}
					})
				}
			}
		}
	}
}

// tally is what the clients of all rounds saw.
type tally struct{ told, refused, events atomic.Int64 }

func (a *tally) String() string {
	return fmt.Sprintf("%d streams told, %d refused, %d events", a.told.Load(), a.refused.Load(), a.events.Load())
}

// A moment comes after so many events, and when so many clients have their answer. In every second round that is none, and
// the moment so early that some meet the drain at its very beginning.
type moment struct {
	mu              sync.Mutex // guards following
	clients, events int        // to come
	now             chan struct{}
	come            bool
}

func (m *moment) wait(t *testing.T) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-m.now:
	case <-limit.C:
		t.Fatal("the events don't come")
	}
}

func (m *moment) note(clients, events int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clients -= clients
	m.events -= events
	if m.clients <= 0 && m.events <= 0 && !m.come {
		m.come = true
		close(m.now)
	}
}

// inside counts the calls of a handler that haven't returned.
type inside struct {
	n   atomic.Int64
	all sync.WaitGroup
}

func (i *inside) count(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.all.Add(1)
		defer i.all.Done()
		i.n.Add(1)
		defer i.n.Add(-1)
		h.ServeHTTP(w, r)
	})
}

func drainOnce(t *testing.T, l library, way route, r router, p protocol, seed uint64, all *tally) {
	const clients = 3
	name := fnv.New64a()
	_, _ = io.WriteString(name, t.Name())
	random := rand.New(rand.NewPCG(seed, name.Sum64()))
	d := &middleware.Drainer{Budget: policy.Budget{Total: 3 * patience}, Policy: policy.Rule{
		Mercy:   patience,
		Timeout: way.timeout + time.Duration(random.IntN(2))*5*time.Millisecond,
		Spread:  []time.Duration{0, 5 * time.Millisecond}[random.IntN(2)],
	}}
	src := l.begin(t)
	var drained, served inside
	graceful := func(h http.Handler) http.Handler { return middleware.Graceful(d)(drained.count(h)) }
	front, back := way.begin(t, p, graceful, r, served.count(src))
	stop := src.publishing(random.Uint64())

	m := &moment{now: make(chan struct{}), clients: clients, events: random.IntN(60)}
	if seed%2 == 0 {
		m.clients, m.events = 0, random.IntN(3)
	}
	m.note(0, 0)
	var events, told, refused atomic.Int64
	var following sync.WaitGroup
	for range clients {
		following.Go(func() {
			res, err := front.get()
			if !assert.NoError(t, err) {
				m.note(clients, 1000) // nothing more is to be learnt
				return
			}
			defer res.Body.Close()
			m.note(1, 0)
			e, err := follow(res.Body, func() { m.note(0, 1) })
			assert.NoError(t, err, "seed %d", seed)
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
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, d.Shutdown(ctx), "seed %d", seed)
	assert.Zero(t, drained.n.Load(), "handlers that still run")
	following.Wait()
	stop()
	front.close()
	back.close()
	served.all.Wait() // behind a proxy that was drained they end by themselves
	src.close()

	report := d.Report()
	assert.EqualValues(t, clients, told.Load()+refused.Load(), "seed %d: each is told or refused: %+v", seed, report)
	assert.EqualValues(t, told.Load(), report.Told, "seed %d: %+v", seed, report)
	assert.EqualValues(t, refused.Load(), report.Refused, "seed %d: %+v", seed, report)
	all.told.Add(told.Load())
	all.refused.Add(refused.Load())
	all.events.Add(events.Load())
}
