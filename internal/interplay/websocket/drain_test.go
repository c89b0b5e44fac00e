package websocket

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/policy"
)

// What a handler is at when the drain comes.
type work int

const (
	idle work = iota
	small
	large
	fragments
)

func (w work) String() string {
	return [...]string{"idle", "writing small", "writing large", "inside a message"}[w]
}

// A cell is a place in the table.
type cell struct {
	library
	secure bool
	work   work
	reads  bool
}

func (c cell) String() string {
	transport, reading := "plain", "never reads"
	if c.secure {
		transport = "TLS"
	}
	if c.reads {
		reading = "reads"
	}
	return fmt.Sprintf("%s/%s/%s/%s", c.name, transport, c.work, reading)
}

func cells() (all []cell) {
	for _, l := range libraries {
		for _, secure := range []bool{false, true} {
			for w := idle; w <= fragments; w++ {
				for _, reads := range []bool{true, false} {
					if (reads || !l.reads) && (w < fragments || l.parts) {
						all = append(all, cell{l, secure, w, reads})
					}
				}
			}
		}
	}
	return all
}

// atOnce is how many rounds of a cell are under way at once, each on servers of its own.
const atOnce = 8

// TestInterplay drains each library in each state at random moments, and has a strict client say what it saw: whole
// frames only, then exactly one Close with the rule's code and reason, then EOF.
func TestInterplay(t *testing.T) {
	rounds := number(t, "LASTCALL_ROUNDS", 3)
	total := 0
	for _, c := range cells() {
		t.Run(c.String(), func(t *testing.T) {
			var next atomic.Int64
			var workers sync.WaitGroup
			for range min(rounds, atOnce) {
				s := newSite(t, c.library, c.secure)
				workers.Go(func() {
					for seed := next.Add(1); seed <= int64(rounds) && !t.Failed(); seed = next.Add(1) {
						newRound(c, uint64(seed)).run(t, s)
					}
				})
			}
			workers.Wait()
			total += rounds
		})
	}
	t.Logf("%d connections drained", total)
}

// A round is one connection that is drained.
type round struct {
	cell
	seed     uint64
	r        *rand.Rand
	farewell policy.Farewell
	messages int  // that the handler writes, at most
	at       int  // after so many the drain is begun
	finishes bool // the message that it is inside of
	stalls   bool // the client, until the drain has begun
	crosses  bool // the client sends a Close of its own at the same moment
	drains   []bool

	once     sync.Once
	now      chan struct{} // the moment to begin the drain
	draining <-chan struct{}
	seen     chan struct{} // closed when the client has seen the end
}

func newRound(c cell, seed uint64) *round {
	r := rand.New(rand.NewPCG(seed, uint64(c.work)))
	o := &round{cell: c, seed: seed, r: r, now: make(chan struct{}), seen: make(chan struct{})}
	o.farewell = policy.Farewell{Code: 4000 + r.IntN(1000), Reason: "now; retry={retry}"}
	if r.IntN(2) == 0 {
		o.farewell.Message = `{"retry":{retry}}`
	}
	switch c.work {
	case small:
		o.messages = 300
	case large:
		o.messages = 6
	case fragments:
		o.messages = 4
	}
	o.at = r.IntN(o.messages + 1)
	o.finishes = c.whole || r.IntN(2) == 0
	o.stalls = r.IntN(2) == 0
	o.crosses = c.reads && r.IntN(4) == 0
	// With two proxies, the first is told to drain, or the second, or both.
	which := 1 + r.IntN(1<<max(1, c.proxies)-1)
	for i := range max(1, c.proxies) {
		o.drains = append(o.drains, which>>i&1 == 1)
	}
	return o
}

func (o *round) rule() policy.Rule {
	// The cut is far off: what ends well on a slow machine too ends without it.
	rule := policy.Rule{Timeout: patience / 3, Mercy: patience / 3, Farewell: o.farewell}
	if o.hasty() {
		rule.Timeout = 60 * time.Millisecond
		if o.proxies > 0 {
			rule.Timeout *= 5 // a proxy that is cancelled breaks off within a frame, and on a slow machine a large one takes long
		}
	}
	return rule
}

// hasty tells of a round that would only wait for its timeout. Half of that is all the time that the farewell's message
// has: on a slow machine it may be left out.
func (o *round) hasty() bool { return !o.reads || o.work == fragments && !o.finishes }

func (o *round) run(t *testing.T, s *site) {
	fail := func(format string, args ...any) {
		t.Errorf("round %d: %s", o.seed, fmt.Sprintf(format, args...))
	}
	drainTold := make(chan struct{})
	o.draining = drainTold
	work := s.begin(o.rule(), o.play)
	p := s.dial(t, o.secure)
	defer p.Close()
	defer close(o.seen)

	var helpers sync.WaitGroup
	defer helpers.Wait()
	helpers.Go(func() {
		<-o.now
		for i, d := range work.drainers {
			if o.drains[i] {
				d.Start()
			}
		}
		close(drainTold)
	})
	if o.crosses {
		helpers.Go(func() {
			<-o.now
			if err := p.sendClose([]byte("\x03\xe8")); err != nil {
				fail("the client's own Close: %v", err)
			}
		})
	}
	chat := rand.New(rand.NewPCG(o.seed, 1))
	helpers.Go(func() {
		if err := p.chat(chat); err != nil {
			fail("the client's own frames: %v", err)
		}
	})
	if o.stalls {
		<-drainTold
	}
	e, err := p.listen(isWritten)
	_ = p.Close() // a proxy that isn't draining waits for it
	if err != nil {
		fail("%v", err)
		return
	}
	o.judge(t, e)
	helpers.Wait()
	for _, d := range work.drainers {
		// With two proxies one of them may be ended by the other.
		switch report := drained(t, d); {
		case len(o.drains) > 1:
		case o.crosses: // then it may have ended by itself, before the drain
			assert.Zero(t, report.Unanswered+report.Cancelled+report.Cut, "round %d: %+v", o.seed, report)
		default:
			assert.EqualValues(t, 1, report.Told, "round %d: %+v", o.seed, report)
		}
	}
	if o.proxies == 0 {
		work.playing.Wait()
	}
}

// judge compares what the client saw with what the rule says.
func (o *round) judge(t *testing.T, e ending) {
	if o.crosses && e.code == 1000 { // the handler's own answer came first, and stands
		assert.Empty(t, e.reason, "round %d", o.seed)
		return
	}
	assert.Equal(t, o.farewell.Code, e.code, "round %d", o.seed)
	assert.Regexp(t, `^now; retry=\d{4}$`, e.reason, "round %d", o.seed)
	assert.True(t, !e.within || o.work == fragments || o.cuts, "round %d: the Close came inside a message, and none was in parts", o.seed)
	switch {
	case o.farewell.Message != "" && lastMessage.MatchString(e.last.data):
		assert.Equal(t, byte(opText), e.last.opcode, "round %d", o.seed)
	case o.farewell.Message == "", e.within, o.hasty():
		if e.last.opcode != 0 {
			assert.NoError(t, isWritten(e.last), "round %d", o.seed)
		}
	default:
		t.Errorf("round %d: the last message is not the farewell's but %.40q…", o.seed, e.last.data)
	}
}

var lastMessage = regexp.MustCompile(`^{"retry":\d{4}}$`)

// play is the handler.
func (o *round) play(ctx context.Context, c conn) {
	defer c.close()
	if !o.reads {
		o.speak(c, ctx.Done())
		select {
		case <-ctx.Done():
		case <-o.seen: // behind a proxy, where nobody cancels it
		}
		return
	}
	stop := make(chan struct{})
	var speaking sync.WaitGroup
	speaking.Go(func() { o.speak(c, stop) })
	c.read()
	close(stop)
	speaking.Wait()
}

func (o *round) moment() { o.once.Do(func() { close(o.now) }) }

// speak writes what the cell says, and says when it has come to the round's moment.
func (o *round) speak(c conn, stop <-chan struct{}) {
	defer o.moment()
	r := rand.New(rand.NewPCG(o.seed, 2))
	for i := range o.messages {
		select {
		case <-stop:
			return
		default:
		}
		var err error
		switch {
		case i < o.at, o.work != fragments:
			if i == o.at {
				o.moment()
			}
			err = c.write(written(o.size(r)))
		case i == o.at:
			err = c.(fragmenter).fragments(written(200_000), func() bool {
				o.moment()
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
			err = c.write(written(o.size(r)))
		}
		if err != nil {
			return
		}
	}
}

func (o *round) size(r *rand.Rand) int {
	if o.work == large {
		return 40_000 + r.IntN(300_000)
	}
	return r.IntN(300)
}

// alphabet is what messages are made of, one after the other.
var alphabet = strings.Repeat("abcdefghijklmnopqrstuvwxyz", 20_000)

func written(n int) []byte { return []byte(alphabet[:n]) }

// isWritten tells what is wrong with a message that was written whole.
func isWritten(m message) error {
	half := m.data[len(m.data)/2:]
	if m.opcode != opText || m.data != alphabet[:len(m.data)] && (len(m.data) != 400_000 || half != alphabet[:200_000] || half != m.data[:200_000]) {
		return fmt.Errorf("a message of %d bytes with opcode %#x is not one that was written: %.40q…", len(m.data), m.opcode, m.data)
	}
	return nil
}

// chat sends messages, fragments and pings, which no handler of these tests answers but with pongs.
func (p *peer) chat(r *rand.Rand) error {
	for range r.IntN(8) {
		var err error
		text := written(r.IntN(200))
		switch r.IntN(3) {
		case 0:
			err = p.send(clientFrame(true, opBinary, text))
		case 1:
			err = p.send(clientFrame(true, opPing, []byte("ping")))
		default:
			err = p.send(
				clientFrame(false, opText, text),
				clientFrame(true, opPing, []byte("ping")),
				clientFrame(true, opContinuation, text))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
