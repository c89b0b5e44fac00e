package websocket

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/policy"
)

// workers is how many rounds of a cell run at the same time, each with servers of its own.
const workers = 8

// TestDrain drains each library in each state at random moments. The strict client has to see whole
// frames, then exactly one Close with the rule's code and reason, then EOF.
func TestDrain(t *testing.T) {
	rounds := harness.Int(t, "LASTCALL_ROUNDS", 3)
	total := 0
	for _, c := range cells() {
		t.Run(c.String(), func(t *testing.T) {
			var next atomic.Int64
			var running sync.WaitGroup
			for range min(rounds, workers) {
				s := newSite(t, c.library, c.secure)
				running.Go(func() {
					for seed := next.Add(1); seed <= int64(rounds) && !t.Failed(); seed = next.Add(1) {
						newRound(c, uint64(seed)).run(t, s)
					}
				})
			}
			running.Wait()
			total += rounds
		})
	}
	t.Logf("%d connections drained", total)
}

// A round is one connection that is drained.
type round struct {
	cell
	seed         uint64
	farewell     policy.Farewell
	messages     int    // how many the handler writes, at most
	drainAfter   int    // the drain starts after so many of them
	finishes     bool   // the handler ends the message that it is inside of when the drain starts
	clientWaits  bool   // the client reads nothing until the drain has started
	clientCloses bool   // the client sends a Close of its own when the drain starts
	drains       []bool // which of the session's Drainers start to drain

	once     sync.Once
	start    chan struct{}   // closed when the drain has to start
	draining <-chan struct{} // closed when it has started
	over     chan struct{}   // closed when the client has seen the end
}

func newRound(c cell, seed uint64) *round {
	r := rand.New(rand.NewPCG(seed, uint64(c.activity)))
	o := &round{cell: c, seed: seed, start: make(chan struct{}), over: make(chan struct{})}
	o.farewell = policy.Farewell{Code: 4000 + r.IntN(1000), Reason: "now; retry={retry}"}
	if r.IntN(2) == 0 {
		o.farewell.Message = `{"retry":{retry}}`
	}
	switch c.activity {
	case small:
		o.messages = 300
	case large:
		o.messages = 6
	case fragments:
		o.messages = 4
	}
	o.drainAfter = r.IntN(o.messages + 1)
	o.finishes = c.mustFinish || r.IntN(2) == 0
	o.clientWaits = r.IntN(2) == 0
	o.clientCloses = c.reads && r.IntN(4) == 0
	// With two proxies the first drains, or the second, or both.
	which := 1 + r.IntN(1<<max(1, c.proxies)-1)
	for i := range max(1, c.proxies) {
		o.drains = append(o.drains, which>>i&1 == 1)
	}
	return o
}

func (o *round) rule() policy.Rule {
	// A timeout that is never reached: what can end well does so before, on a slow machine too.
	rule := policy.Rule{Timeout: harness.Timeout / 3, Mercy: harness.Timeout / 3, Farewell: o.farewell}
	if o.endsByTimeout() {
		rule.Timeout = 60 * time.Millisecond
		if o.proxies > 0 {
			// A proxy that is canceled stops within a frame, and a large one takes long on a slow
			// machine.
			rule.Timeout *= 5
		}
	}
	return rule
}

// endsByTimeout reports whether nothing but its timeout ends the connection. The farewell's message
// has half of that time, and may be left out on a slow machine.
func (o *round) endsByTimeout() bool { return !o.reads || o.activity == fragments && !o.finishes }

func (o *round) run(t *testing.T, s *site) {
	fail := func(format string, args ...any) {
		t.Errorf("round %d: %s", o.seed, fmt.Sprintf(format, args...))
	}
	drainStarted := make(chan struct{})
	o.draining = drainStarted
	started := s.start(o.rule(), o.handle)
	p := s.dial(t, o.secure)
	defer p.Close()
	defer close(o.over)

	var helpers sync.WaitGroup
	defer helpers.Wait()
	helpers.Go(func() {
		<-o.start
		for i, d := range started.drainers {
			if o.drains[i] {
				d.Start()
			}
		}
		close(drainStarted)
	})
	if o.clientCloses {
		helpers.Go(func() {
			<-o.start
			if err := p.sendClose([]byte("\x03\xe8")); err != nil {
				fail("the client's own Close: %v", err)
			}
		})
	}
	helpers.Go(func() {
		if err := p.sendMessages(rand.New(rand.NewPCG(o.seed, 1))); err != nil {
			fail("the client's own frames: %v", err)
		}
	})
	if o.clientWaits {
		<-drainStarted
	}
	e, err := p.readToClose(checkMessage)
	_ = p.Close() // a proxy that doesn't drain waits for it
	if err != nil {
		fail("%v", err)
		return
	}
	o.checkEnding(t, e)
	helpers.Wait()
	for _, d := range started.drainers {
		switch report := harness.Shutdown(t, d); {
		case len(o.drains) > 1: // one of two proxies may be ended by the other
		case o.clientCloses: // the connection may have ended before the drain
			assert.Zero(t, report.Unanswered+report.Canceled+report.Cut, "round %d: %+v", o.seed, report)
		default:
			assert.EqualValues(t, 1, report.Told, "round %d: %+v", o.seed, report)
		}
	}
	if o.proxies == 0 {
		started.handlers.Wait()
	}
}

var farewellMessage = regexp.MustCompile(`^{"retry":\d{4}}$`)

// checkEnding compares what the client saw with what the rule says.
func (o *round) checkEnding(t *testing.T, e ending) {
	if o.clientCloses && e.code == 1000 { // the handler's answer to the client came first, and stands
		assert.Empty(t, e.reason, "round %d", o.seed)
		return
	}
	assert.Equal(t, o.farewell.Code, e.code, "round %d", o.seed)
	assert.Regexp(t, `^now; retry=\d{4}$`, e.reason, "round %d", o.seed)
	assert.True(t, !e.inMessage || o.activity == fragments || o.splitsLarge,
		"round %d: the Close came inside a message, and none was fragmented", o.seed)
	switch {
	case o.farewell.Message != "" && farewellMessage.MatchString(e.last.data):
		assert.Equal(t, byte(opText), e.last.opcode, "round %d", o.seed)
	case o.farewell.Message == "", e.inMessage, o.endsByTimeout():
		if e.last.opcode != 0 {
			assert.NoError(t, checkMessage(e.last), "round %d", o.seed)
		}
	default:
		t.Errorf("round %d: the last message is not the farewell's but %.40q…", o.seed, e.last.data)
	}
}

// handle is the handler of the connection.
func (o *round) handle(ctx context.Context, c conn) {
	defer c.close()
	if !o.reads {
		o.write(c, ctx.Done())
		select {
		case <-ctx.Done():
		case <-o.over: // behind a proxy, where nobody cancels the handler
		}
		return
	}
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() { o.write(c, stop) })
	c.read()
	close(stop)
	writing.Wait()
}

func (o *round) startDrain() { o.once.Do(func() { close(o.start) }) }

// write writes the messages of the round, and has the drain start when its moment has come.
func (o *round) write(c conn, stop <-chan struct{}) {
	defer o.startDrain()
	r := rand.New(rand.NewPCG(o.seed, 2))
	for i := range o.messages {
		select {
		case <-stop:
			return
		default:
		}
		var err error
		switch {
		case i < o.drainAfter, o.activity != fragments:
			if i == o.drainAfter {
				o.startDrain()
			}
			err = c.write(text(o.size(r)))
		case i == o.drainAfter:
			err = c.(fragmenter).fragments(text(200_000), func() bool {
				o.startDrain()
				select {
				case <-o.draining:
				case <-stop:
				}
				return o.finishes
			})
			if !o.finishes {
				return
			}
		default:
			err = c.write(text(o.size(r)))
		}
		if err != nil {
			return
		}
	}
}

func (o *round) size(r *rand.Rand) int {
	if o.activity == large {
		return 40_000 + r.IntN(300_000)
	}
	return r.IntN(300)
}
