package draintest

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/internal/request"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A scene is one server in one bubble, that is drained once.
type scene struct {
	*Server
	name     string // the moment of its drain
	rec      recorder
	tb       *sceneTB
	listener *delayed      // its d may be set before a connection is dialed
	slow     time.Duration // that a whole answer takes longer, since its client reads slowly
	holding  chan struct{} // closed when the request that holds the drain open may end

	once    sync.Once
	now     chan struct{} // closed when the drain is to begin
	visits  []*visitor
	conns   []net.Conn
	began   time.Time
	drained bool
	took    time.Duration // until Run had returned
	err     error         // of Run
	left    []goroutine
	blocked bool // a function given to t.Cleanup does not return
}

// A Start returns a server's handler, whose Drainer is d.
type startFunc = func(t testing.TB, d *middleware.Drainer) http.Handler

// newScene starts the server. It must be called in a bubble.
func newScene(t *testing.T, start startFunc) *scene {
	ctx, cancel := context.WithCancel(context.Background())
	sc := &scene{tb: &sceneTB{TB: t, ctx: ctx, cancel: cancel}, holding: make(chan struct{}), now: make(chan struct{})}
	sc.Server = &Server{t: sc.tb, d: &middleware.Drainer{}, label: newLabel(), ran: make(chan error, 1), log: testLog{t: t, ended: true}}
	sc.calls.label, sc.calls.keep = sc.label, true
	sc.rec.begin = sc.begin
	var h http.Handler
	sc.label.do(func() { h = start(sc.tb, sc.d) })
	sc.listener = Delay(sc.listen(), 0).(*delayed)
	sc.serve(sc.listener, sc.hold(sc.calls.follow(sc.rec.wrap(h))), false)
	return sc
}

// holdPath is that of a request which holds the drain open.
const holdPath = "/draintest/hold"

func (sc *scene) hold(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != holdPath {
			h.ServeHTTP(w, r)
			return
		}
		stream.Tag(r.Context(), policy.Finite)
		stream.From(r.Context()).Refine(policy.Rule{Grace: policy.ToTheEnd})
		<-sc.holding
	})
}

// pause lets things go on for a moment.
const pause = 20 * time.Millisecond

// begin has the drain begun, and returns when it is about to end responses.
func (sc *scene) begin() {
	sc.once.Do(func() { close(sc.now) })
	sc.awaitDrain()
}

// awaitDrain waits until the announcement is over, and a moment longer.
func (sc *scene) awaitDrain() {
	for range int(sc.d.Budget.WithDefaults().Total / pause) {
		if p := sc.d.Report().Phase; p != middleware.Serving && p != middleware.Announcing {
			break
		}
		time.Sleep(pause)
	}
	time.Sleep(pause)
}

func (sc *scene) visit(r request.Request, socket bool) *visitor {
	v := visit(sc.Server, sc.Dial, r, socket)
	sc.visits = append(sc.visits, v)
	return v
}

// visitSlowly opens a client that needs 2.5 s to read the whole answer, or what a stream sends in
// the first shortLook, and is allowed twice that.
func (sc *scene) visitSlowly(r request.Request, s shape) *visitor {
	sc.slow = 5 * time.Second
	whole := s.visitor.before + len(s.visitor.body) + 16*s.writes // with chunks around it
	n := min(max(256, whole/128), 4<<10)                          // the network holds no more
	every := min(20*time.Millisecond, sc.slow/2*time.Duration(n)/time.Duration(whole+1))
	v := visit(sc.Server, func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := sc.Dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return Slow(c, n, every), nil
	}, r, s.socket)
	sc.visits = append(sc.visits, v)
	return v
}

// awaitCalls waits a minute for n calls of the handler.
func (sc *scene) awaitCalls(n int) {
	for range int(time.Minute / pause) {
		if len(sc.calls.all()) >= n {
			return
		}
		time.Sleep(pause)
	}
}

// awaitMoment waits until the drain is to begin, but for no longer than this.
func (sc *scene) awaitMoment(atMost time.Duration) { await(sc.now, atMost) }

// drain drains the server and ends the scene: what started it, its clients and its handlers.
func (sc *scene) drain() {
	if sc.began.IsZero() {
		sc.began = time.Now()
	}
	sc.drained = true
	sc.err = sc.shutdown()
	sc.took = time.Since(sc.began)
	for _, v := range sc.visits {
		v.end(5 * time.Second)
	}
	for _, c := range sc.conns {
		c.Close()
	}
	sc.closeIdle()
	sc.blocked = !sc.tb.end(30 * time.Second)
	for range int(time.Minute / time.Second) {
		if sc.allReturned() {
			break
		}
		time.Sleep(time.Second)
	}
	sc.left = sc.label.left(time.Second)
}

func (sc *scene) allReturned() bool {
	return !slices.ContainsFunc(sc.calls.all(), func(c *call) bool { return !sc.calls.hasReturned(c) })
}

// raw opens a connection and sends text. Nobody reads it.
func (sc *scene) raw(text string) net.Conn {
	c, err := sc.Dial(context.Background(), "", "")
	if err != nil {
		sc.t.Fatalf("draintest: %v", err) // the network is ours
	}
	sc.conns = append(sc.conns, c)
	go io.WriteString(c, text) // until the scene closes it
	return c
}

// isSocket reports whether the route answers a request for a WebSocket with one, at once.
func (sc *scene) isSocket(r request.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	bare := r
	bare.Body = ""
	c := sc.raw(bare.Wire("draintest.test", true))
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	_ = Vanish(c)
	return err == nil && request.IsWebSocket(res)
}

// A sceneTB is the test that a scene's Start gets: its context and its cleanups end with the scene.
type sceneTB struct {
	testing.TB
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex // guards following
	cleanups []func()
}

func (t *sceneTB) Context() context.Context { return t.ctx }

func (t *sceneTB) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

// end ends the context and calls what was given to Cleanup. It reports false if that takes longer.
func (t *sceneTB) end(atMost time.Duration) bool {
	t.cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for f := t.pop(); f != nil; f = t.pop() {
			f()
		}
	}()
	return await(done, atMost)
}

func (t *sceneTB) pop() (f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.cleanups); n > 0 {
		f, t.cleanups = t.cleanups[n-1], t.cleanups[:n-1]
	}
	return f
}
