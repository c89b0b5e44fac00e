package draintest

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/lastcall-go/lastcall/internal/request"
	"github.com/lastcall-go/lastcall/internal/tracked"
	"github.com/lastcall-go/lastcall/middleware"
)

// host is the server's name in requests of the drill, and in a bubble its address.
const host = "draintest.test"

// A trial is one server in one bubble, which is drained once.
type trial struct {
	*Server
	drill    *drill
	name     string // says at which moment it is drained
	rec      recorder
	tb       *trialTB
	listener *delayed // its d may be set before a connection is dialed

	slow      time.Duration // how much longer an answer may take if clients read slowly; zero: they don't
	readSize  int           // of a slow client, as Slow has it
	readEvery time.Duration

	moment     context.Context // ends when the drain is to begin
	momentCame context.CancelFunc

	opened  []*client
	conns   []net.Conn
	began   time.Time // when the drain began
	drained bool
	took    time.Duration // from then until Run had returned
	left    []goroutine
	blocked bool // a function given to t.Cleanup does not return
}

// newTrial starts the server. It must be called in a bubble.
func newTrial(t *testing.T, d *drill, name string) *trial {
	tr := &trial{drill: d, name: name, tb: &trialTB{TB: t}}
	tr.tb.ctx, tr.tb.cancel = context.WithCancel(context.Background())
	tr.moment, tr.momentCame = context.WithCancel(context.Background())
	tr.rec.onMoment = tr.onMoment
	tr.Server = newServer(tr.tb, &middleware.Drainer{})
	tr.log.end() // it logs what is expected here
	tr.calls.keepAll = true
	var h http.Handler
	tr.label.do(func() { h = d.start(tr.tb, tr.d) })
	tr.listener = Delay(tr.listen(), 0).(*delayed)
	tr.serve(tr.listener, tr.calls.follow(tr.label, tr.rec.wrap(h)), false)
	return tr
}

// report adds a finding of this trial.
func (tr *trial) report(rule, format string, args ...any) {
	tr.drill.report(rule, tr.name, format, args...)
}

// pause is long enough for other goroutines of the bubble to go on.
const pause = 20 * time.Millisecond

// onMoment is called in the handler, when the moment of the drain has come. It tells awaitMoment,
// whose caller begins the drain, and returns when the drain is about to end responses.
func (tr *trial) onMoment() {
	tr.momentCame()
	tr.awaitDrain()
}

// awaitMoment waits until the moment of the drain has come, or the time is up.
func (tr *trial) awaitMoment(atMost time.Duration) { await(tr.moment.Done(), atMost) }

// beginDrain begins the drain and returns when it is about to end responses.
func (tr *trial) beginDrain() {
	tr.stop()
	tr.began = time.Now()
	tr.awaitDrain()
}

// awaitDrain waits until the drain's announcement is over, and a moment longer.
func (tr *trial) awaitDrain() {
	until(tr.d.Budget.WithDefaults().Total, func() bool {
		p := tr.d.Report().Phase
		return p != middleware.Serving && p != middleware.Announcing
	})
	time.Sleep(pause)
}

// until waits until f returns true, or the time is up.
func until(atMost time.Duration, f func() bool) {
	for began := time.Now(); time.Since(began) < atMost && !f(); {
		time.Sleep(pause)
	}
}

// response returns that of the handler's first call, nil if it wasn't called.
func (tr *trial) response() *tracked.Response {
	if all := tr.calls.all(); len(all) > 0 {
		return all[0].response
	}
	return nil
}

// readSlowly has clients that are opened from now on need 2.5 s to read the whole answer, or what a
// stream sends in the first shortLook. Twice that is allowed.
func (tr *trial) readSlowly(whole *client, writes int) {
	tr.slow = 5 * time.Second
	size := whole.before + len(whole.body) + 16*writes // with chunks around it
	tr.readSize = min(max(256, size/128), 4<<10)       // the network holds no more
	tr.readEvery = min(20*time.Millisecond, tr.slow/2*time.Duration(tr.readSize)/time.Duration(size+1))
}

// dial opens a connection for a client.
func (tr *trial) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := tr.Dial(ctx, network, address)
	if err != nil || tr.slow == 0 {
		return c, err
	}
	return Slow(c, tr.readSize, tr.readEvery), nil
}

// raw opens a connection that nobody reads, and sends text.
func (tr *trial) raw(text string) net.Conn {
	c, err := tr.Dial(context.Background(), "", "")
	if err != nil {
		tr.t.Fatalf("draintest: %v", err) // the network is ours
	}
	tr.conns = append(tr.conns, c)
	go io.WriteString(c, text) // until the trial closes it
	return c
}

// isWebSocket reports whether the route answers a request for a WebSocket with one, at once.
func (tr *trial) isWebSocket(r request.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	r.Body = ""
	c := tr.raw(r.Wire(host, true))
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	_ = Vanish(c)
	return err == nil && request.IsWebSocket(res)
}

// drain drains the server and ends the trial: what start began, its clients and its handlers.
func (tr *trial) drain() {
	if tr.began.IsZero() {
		tr.began = time.Now()
	}
	tr.drained = true
	_ = tr.shutdown() // its error names handlers that judgeTrial looks at as well
	tr.took = time.Since(tr.began)
	for _, c := range tr.opened {
		c.end(5 * time.Second)
	}
	for _, c := range tr.conns {
		c.Close()
	}
	tr.closeIdle()
	tr.blocked = !tr.tb.end(30 * time.Second)
	until(time.Minute, func() bool { return len(tr.calls.running()) == 0 })
	tr.left = tr.label.left(time.Second)
}

// A trialTB is the test that start gets: its context and its cleanups end with the trial.
type trialTB struct {
	testing.TB
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex // guards following
	cleanups []func()
}

func (t *trialTB) Context() context.Context { return t.ctx }

func (t *trialTB) Cleanup(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cleanups = append(t.cleanups, f)
}

// end ends the context and calls what was given to Cleanup. It reports false if that takes longer.
func (t *trialTB) end(atMost time.Duration) bool {
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

func (t *trialTB) pop() (f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.cleanups); n > 0 {
		f, t.cleanups = t.cleanups[n-1], t.cleanups[:n-1]
	}
	return f
}
