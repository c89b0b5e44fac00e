package rpc

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/assert"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// Whatever the libraries and the moment: each result that a handler produced reaches its client,
// each stream without an end is told and its client is back on the next server in time, each late
// call is refused so that its client repeats it with success, nobody reads a reset, and the report
// says what the clients saw.
func TestDrain(t *testing.T) {
	for _, c := range cells {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var late time.Duration
			for n := *seed; n < *seed+uint64(*rounds) && !t.Failed(); n++ {
				synctest.Test(t, func(t *testing.T) {
					defer func() {
						if t.Failed() {
							t.Logf("seed %d", n)
						}
					}()
					r := newRound(t, c, n)
					r.run()
					late = max(late, r.late)
				})
			}
			t.Logf("clients of streams are back %v after their slot, at most", late)
		})
	}
}

const tick = time.Millisecond // handlers and clients act, and drains begin, at whole ones

type round struct {
	t       *testing.T
	cell    cell
	ledger  *ledger
	first   *server // is drained
	second  *server
	client  client
	spread  time.Duration
	size    int  // of messages at most
	repeats bool // the client repeats calls by itself, as its retry policy says

	mu      sync.Mutex // guards following
	rng     *rand.Rand
	got     map[string]int      // results by the call's name
	told    map[string]farewell // by the stream's name
	refused int                 // calls that were refused
	late    time.Duration       // by how much a stream's client has missed its slot
}

// A farewell is what a stream's client has read.
type farewell struct {
	at   time.Time
	slot time.Duration
}

func newRound(t *testing.T, c cell, seed uint64) *round {
	r := &round{t: t, cell: c, ledger: newLedger(), rng: rand.New(rand.NewPCG(seed, 0)), got: map[string]int{}, told: map[string]farewell{}}
	r.spread = time.Duration(r.rng.IntN(3)*20) * tick
	rule := policy.Rule{Spread: r.spread, Timeout: []time.Duration{policy.AtOnce, 5 * tick, 20 * tick, 0}[r.rng.IntN(4)]}
	// A ReverseProxy writes with a mutex held, for which a bubble's clock doesn't wait.
	slowly := r.rng.IntN(3) == 0 && c.server != "proxy"
	serving := func(name string) *server {
		h := c.handler(t, &service{name, r.ledger})
		if slowly && name == "first" {
			h = writesSlowly(h, r.pick)
		}
		return serve(&middleware.Drainer{Policy: infinite(rule)}, c.wire, h)
	}
	r.first, r.second = serving("first"), serving("second")
	r.size = []int{1, 10, 100, 1_000, 3_000, 10_000, 30_000}[r.rng.IntN(7)]
	var options []any
	if r.repeats = r.rng.IntN(2) == 0; r.repeats {
		options = append(options, grpc.WithDefaultServiceConfig(RetryPolicy), connect.WithInterceptors(connect.UnaryInterceptorFunc(Repeat)))
	}
	options = append(options, grpc.WithStatsHandler(reader{r}))
	if r.rng.IntN(2) == 0 && c.server == "connect-go" {
		options = append(options, connect.WithProtoJSON())
	}
	if r.rng.IntN(2) == 0 {
		options = append(options, connect.WithHTTPGet())
	}
	if r.rng.IntN(16) == 0 && c.server == "connect-go" {
		options = append(options, connect.WithSendGzip(), connect.WithCompressMinBytes(100))
	}
	r.client = c.newClient(oneOf(r.first, r.second), options...)
	return r
}

// pick returns a random number below n.
func (r *round) pick(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rng.IntN(n)
}

func (r *round) anyOf(words ...string) string { return words[r.pick(len(words))] }

func (r *round) run() {
	streams, stopStreams := context.WithCancel(context.Background())
	var calls, standing sync.WaitGroup
	var names []string
	for i := range 2 {
		name := fmt.Sprint("watch", i)
		names = append(names, name)
		does := fmt.Sprint(name, " ", r.pick(2)*r.pick(r.size), " ", r.anyOf("0s", "2ms", "3ms"), " ", r.anyOf("draining", "context"),
			" ", r.anyOf("nil", "own", "err"))
		ctx := context.WithValue(streams, streamName{}, name)
		standing.Go(func() { r.stays(ctx, name, func() error { return r.client.watch(ctx, does, func(string) {}) }) })
	}
	if r.cell.bidi() {
		names = append(names, "chat")
		ctx := context.WithValue(streams, streamName{}, "chat")
		standing.Go(func() {
			r.stays(ctx, "chat", func() error { return r.client.chat(ctx, "chat", func() { r.idle(ctx, 2) }) })
		})
	}
	until := time.Now().Add(2 * time.Second)
	calls.Go(func() { r.callUntil(until, "unary") })
	calls.Go(func() { r.listUntil(until, "list") })

	time.Sleep(time.Duration(2+r.pick(12)) * tick)
	r.first.stop()
	begin := time.Now()
	<-r.first.done
	assert.NoError(r.t, r.first.err)
	took := time.Since(begin)
	calls.Wait()
	time.Sleep(until.Add(5 * time.Second).Sub(time.Now())) // the last reconnect slots and a second are over

	first := r.first.d.Report()
	for _, name := range names {
		at := r.ledger.arrivals(name)
		if !assert.Len(r.t, at, 2, "%s came to each of the servers", name) {
			continue
		}
		assert.Equal(r.t, "second", at[1].server)
		told, ok := r.told[name]
		if assert.True(r.t, ok, "%s was told", name) {
			// The next server accepts all the time, so what counts is the time since the farewell.
			late := at[1].at.Sub(told.at.Add(told.slot))
			assert.GreaterOrEqual(r.t, late, time.Duration(0), "%s is back before its slot of %v", name, told.slot)
			assert.LessOrEqual(r.t, late, time.Second, "%s is back after its slot of %v", name, told.slot)
			r.late = max(r.late, late)
		}
	}
	stopStreams()
	standing.Wait()
	r.client.close()
	r.second.stop()
	<-r.second.done
	assert.NoError(r.t, r.second.err)

	assert.LessOrEqual(r.t, took, r.spread+2*time.Second, "no drain waits for a stream")
	assert.EqualValues(r.t, len(names), first.Told)
	assert.EqualValues(r.t, 0, first.Canceled)
	assert.EqualValues(r.t, 0, first.Cut)
	if !r.repeats {
		assert.EqualValues(r.t, r.refused, first.Refused, "late calls")
	}
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	assert.Equal(r.t, r.ledger.produced, r.got, "what the handlers produced is what the clients got")
}

// stays keeps a stream open as clients do: it calls again, after the time that it is given,
// whenever the server is not available.
func (r *round) stays(ctx context.Context, name string, call func() error) {
	for {
		err := call()
		if ctx.Err() != nil {
			return
		}
		f := r.failed(name, err)
		if f == nil {
			return
		}
		if strings.HasPrefix(f.message, farewellMessage) {
			if r.cell.client != "grpc-go" { // whose reader has noted it
				r.note(name, f.retry)
			}
			assert.Equal(r.t, fmt.Sprint(farewellMessage, f.retry.Milliseconds()), f.message)
		}
		if pause(ctx, max(tick, f.retry)) != nil {
			return
		}
	}
}

const farewellMessage = "service restart; retry="

// note notes that the client of a stream has read its farewell.
func (r *round) note(name string, slot time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, again := r.told[name]
	assert.False(r.t, again, "%s was told twice", name)
	r.told[name] = farewell{time.Now(), slot}
}

// A reader reads the farewells of streams as grpc-go's client gets them, also where it calls again
// by itself, as its policy says.
type reader struct{ *round }

type streamName struct{} // is the key of a stream's name in its call's context

func (r reader) HandleRPC(ctx context.Context, s stats.RPCStats) {
	name, ok := ctx.Value(streamName{}).(string)
	end, isEnd := s.(*stats.InTrailer)
	if !ok || !isEnd {
		return
	}
	if slot := end.Trailer["grpc-retry-pushback-ms"]; len(slot) > 0 { // only the drain says so
		r.note(name, retryAfter(slot[0], ""))
	}
}

func (reader) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (reader) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (reader) HandleConn(context.Context, stats.ConnStats)                       {}

// failed looks at the error of a call, which must be that of a server that is going.
func (r *round) failed(name string, err error) *failure {
	var f *failure
	if !assert.ErrorAs(r.t, err, &f, "%s ended", name) || !assert.Equal(r.t, "unavailable", f.code, "%s: %v", name, err) {
		return nil
	}
	if strings.HasPrefix(f.message, "the server is shutting down") {
		r.mu.Lock()
		r.refused++
		r.mu.Unlock()
		assert.Positive(r.t, f.retry, "%s: %v", name, err)
	}
	return f
}

func (r *round) callUntil(until time.Time, prefix string) {
	for i := 0; time.Now().Before(until); i++ {
		name := fmt.Sprintf("%s.%d", prefix, i)
		request := fmt.Sprint(name, " ", time.Duration(r.pick(4)*r.pick(20))*tick)
		for {
			answer, err := r.client.unary(context.Background(), request)
			if err == nil {
				assert.Equal(r.t, name, answer)
				r.add(name)
				break
			}
			f := r.failed(name, err)
			if f == nil || !assert.False(r.t, r.repeats, "the client's policy repeats the call: %v", err) {
				return
			}
			time.Sleep(max(tick, f.retry))
		}
		r.idle(context.Background(), r.pick(10))
	}
}

// idle waits for so many ticks between two calls, longer once the drain is over, where there is
// nothing to see.
func (r *round) idle(ctx context.Context, ticks int) {
	d := time.Duration(ticks) * tick
	select {
	case <-r.first.done:
		d = time.Second
	case <-r.first.d.Draining():
		d *= 8
	default:
	}
	_ = pause(ctx, d)
}

func (r *round) listUntil(until time.Time, prefix string) {
	for i := 0; time.Now().Before(until); i++ {
		name := fmt.Sprintf("%s.%d", prefix, i)
		n := r.pick(6)
		request := fmt.Sprint(name, " ", n, " ", r.pick(2)*r.pick(r.size), " ", time.Duration(r.pick(10))*tick)
		for {
			var came int
			err := r.client.list(context.Background(), request, func(m string) {
				assert.True(r.t, strings.HasPrefix(m, fmt.Sprintf("%s/%d/", name, came)))
				came++
			})
			if err == nil {
				assert.Equal(r.t, n, came, "an end without an error means all of it")
				r.add(name)
				break
			}
			f := r.failed(name, err)
			if f == nil || !assert.False(r.t, r.repeats && r.cell.client == "grpc-go", "the client's policy repeats the call: %v", err) ||
				!assert.Zero(r.t, came, "a call that has begun is let finish: %v", err) {
				return
			}
			time.Sleep(max(tick, f.retry))
		}
		r.idle(context.Background(), r.pick(10))
	}
}

func (r *round) add(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got[name]++
}
