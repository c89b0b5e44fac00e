package mcp

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// An app is an application that uses a client library.
type app interface {
	connect(ctx context.Context, who string) (session, error)
	close()
}

// A session is what it calls tools in.
type session interface {
	call(context.Context, task) (string, error)
	over() time.Duration // returns when the session is, and when the server has asked it to come back
}

// standing and late are who begins a session: the application whose standing stream is drained and
// follows, or one for a late call.
const (
	standing = "standing"
	late     = "late"
)

// slotIn returns the time in the log message by which streams of HTTP+SSE end.
func slotIn(data any) int64 {
	var ms int64
	_, _ = fmt.Sscanf(fmt.Sprint(data), "the server is shutting down; come back in %d ms", &ms)
	return int64(time.Duration(ms) * time.Millisecond)
}

// answerLate waits as long as a person takes to answer.
func (s *site) answerLate() { time.Sleep(s.ms(0, 1500)) }

// A cell is a client library against a server library over one transport.
type cell struct {
	name   string
	serve  func(*site) (http.Handler, func())
	app    func(*site) app
	asks   bool // tools ask their client
	listen bool // the standing stream is a subscription

	// back returns when the library itself comes back for a standing stream that has ended with
	// this reconnect slot; nil: it leaves that to the application.
	back func(slot time.Duration) time.Duration

	// never is set where a subscription that has ended is the last one, and the application isn't
	// told.
	never bool
}

func inItsSlot(slot time.Duration) time.Duration { return slot }
func afterASecond(time.Duration) time.Duration   { return time.Second }

var cells = []cell{
	{"go-sdk 2025-11-25", goSDKStreamable, func(s *site) app { return &goSDKApp{site: s, version: "2025-11-25"} }, true, false, inItsSlot, false},
	{"go-sdk 2025-11-25 with JSON", goSDKJSON, func(s *site) app { return &goSDKApp{site: s, version: "2025-11-25"} }, true, false, inItsSlot, false},
	{"go-sdk on mcp-go 2025-11-25", mcpGoStreamable, func(s *site) app { return &goSDKApp{site: s, version: "2025-11-25"} }, true, false, inItsSlot, false},
	{"go-sdk 2026-07-28", goSDKStateless, func(s *site) app { return &goSDKApp{site: s} }, true, true, nil, true},
	{"go-sdk 2026-07-28 with Ends", goSDKStateless, func(s *site) app { return &goSDKApp{site: s, ends: true} }, true, true, nil, false},
	{"go-sdk HTTP+SSE", goSDKSSE, func(s *site) app { return &goSDKApp{site: s, version: "2024-11-05", sse: true} }, true, false, nil, false},
	{"mcp-go 2025-11-25", mcpGoStreamable, func(s *site) app { return &mcpGoApp{site: s} }, true, false, afterASecond, false},
	{"mcp-go on go-sdk 2025-11-25", goSDKStreamable, func(s *site) app { return &mcpGoApp{site: s} }, true, false, afterASecond, false},
	{"mcp-go on go-sdk HTTP+SSE", goSDKSSE, func(s *site) app { return &mcpGoApp{site: s, sse: true} }, false, false, nil, false},
	{"mcp-go 2026-07-28", mcpGoStreamable, func(s *site) app { return &mcpGoApp{site: s, modern: true} }, false, true, nil, false},
	{"mcp-go HTTP+SSE", mcpGoSSE, func(s *site) app { return &mcpGoApp{site: s, sse: true} }, false, false, nil, false},
}

// TestDrain drains each transport of each library at random moments.
func TestDrain(t *testing.T) {
	for _, c := range cells {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var after []time.Duration
			for i := range *rounds {
				seed := *firstSeed + uint64(i)
				ok := t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { after = append(after, c.round(t, seed)...) })
				})
				if !ok {
					return
				}
			}
			if slices.Sort(after); len(after) > 0 {
				t.Logf("%s: %d were told, and back this long after their slot: %v (first), %v (median), %v (last)",
					c.name, len(after), after[0], after[len(after)/2], after[len(after)-1])
			}
		})
	}
}

// round returns how long after its slot the client of the standing stream was back.
func (c cell) round(t *testing.T, seed uint64) []time.Duration {
	s := newSite(t, seed, withRule, c.serve)
	a := c.app(s)
	defer a.close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	first, err := a.connect(ctx, standing)
	require.NoError(t, err)
	synctest.Wait()

	stop := s.ms(500, 3000)
	var running sync.WaitGroup
	defer func() {
		cancel()
		a.close()
		running.Wait()
	}()
	var last time.Duration // when the last early call ends
	for i := range s.between(1, 5) {
		at, k := s.ms(0, int(stop.Milliseconds())-10), task{Token: fmt.Sprint("early", i), MS: s.between(0, 8000), Ask: c.asks && s.chance()}
		if k.Ask && !s.sticky {
			k.Ask = false // the answer has to reach the server that asks
		}
		last = max(last, at+time.Duration(k.MS)*time.Millisecond)
		running.Go(func() {
			time.Sleep(at)
			got, err := first.call(ctx, k)
			require.NoError(t, err, "call %v, begun %v before the stop; sticky: %v", k, stop-at, s.sticky)
			require.Equal(t, k.result(), got)
		})
	}
	for i := range s.between(1, 3) {
		at, k := stop+s.ms(0, 4000), task{Token: fmt.Sprint("late", i), MS: s.between(0, 500)}
		running.Go(func() {
			time.Sleep(at)
			c.callUntilDone(ctx, t, s, a, first, k)
		})
	}
	running.Go(func() { // the application begins a new session when its own is over
		for in := first; ctx.Err() == nil; {
			time.Sleep(in.over())
			for ctx.Err() == nil {
				if again, err := a.connect(ctx, standing); err == nil {
					in = again
					break
				}
				time.Sleep(500 * time.Millisecond)
			}
		}
	})
	time.Sleep(stop)
	s.stopOld()
	<-s.old.done
	took := s.old.drainer.Report().Took
	require.Less(t, took, max(0, last-stop)+4*time.Second, "the drain ends with the last call")
	time.Sleep(15 * time.Second)
	synctest.Wait()
	c.judgeStanding(t, s)
	s.judge(t)
	cancel()
	a.close()
	return s.after
}

// half is half of a task's work.
func (k task) half() { time.Sleep(time.Duration(k.MS) * time.Millisecond / 2) }

func (k task) result() string {
	if k.Ask {
		return k.Token + "!"
	}
	return k.Token
}

// callUntilDone calls until the call succeeds: in the session where that makes sense, or in a new
// one.
func (c cell) callUntilDone(ctx context.Context, t *testing.T, s *site, a app, in session, k task) {
	if !s.sticky {
		in = nil // the next server doesn't know the session
	}
	for try := 0; ; try++ {
		require.Less(t, try, 60, "call %v is refused for ever", k)
		var err error
		if in == nil {
			in, err = a.connect(ctx, late)
		}
		if err == nil {
			var got string
			if got, err = in.call(ctx, k); err == nil {
				require.Equal(t, k.result(), got)
				return
			}
			require.Zero(t, s.results(k.Token), "the result of %v was lost: %v", k, err)
		}
		in = nil
		time.Sleep(time.Second)
	}
}

// judgeStanding looks at when the clients of standing streams came back, and at how subscriptions
// ended.
func (c cell) judgeStanding(t *testing.T, s *site) {
	var story strings.Builder
	var streams []*exchange
	for _, x := range s.exchanges() {
		if x.standing {
			end := x.body.end()
			fmt.Fprintf(&story, "%s %s %d began %v retry %v ended %v\n", x.server.name, x.method, x.status,
				x.began.Sub(s.stopped), end.retry, end.story(s.stopped))
			streams = append(streams, x)
		}
	}
	if !c.never {
		c.judgeBack(t, s, &story)
	} else {
		subscribed := slices.DeleteFunc(slices.Clone(streams), func(x *exchange) bool { return x.who != standing })
		require.Len(t, subscribed, 1, "subscriptions of the application:\n%s", &story)
	}
	for i, x := range streams {
		end := x.body.end()
		if x.server != s.old || end.retry == 0 || end.closed || end.at.IsZero() {
			continue
		}
		if c.listen && x.method == http.MethodPost {
			require.Equal(t, 1, end.results, "results that end a subscription:\n%s", &story)
		}
		if c.back == nil {
			continue
		}
		due := end.at.Add(c.back(end.retry))
		came := false
		for _, y := range streams[i+1:] {
			came = came || y.key == x.key && !y.began.Before(due) && y.began.Before(due.Add(time.Second))
		}
		for _, y := range s.exchanges() { // a late call that meets a server without the session ends it
			came = came || y.key == x.key && y.status == http.StatusNotFound && y.began.Before(due)
		}
		require.True(t, came, "nobody came back %v after %v:\n%s", c.back(end.retry), end.at.Sub(s.stopped), &story)
	}
}

// judgeBack checks that the application whose standing stream is drained is back at the next server
// in its slot and a second, and notes by how much it missed the slot. The next server accepts all
// the time, so what counts is the time since the farewell. An application that the balancer led to
// the old server meanwhile has been refused, and comes back from that.
func (c cell) judgeBack(t *testing.T, s *site, story fmt.Stringer) {
	var due time.Time // zero: nothing was said
	back := false
	for _, x := range s.exchanges() {
		if x.who != standing {
			continue
		}
		at, slot, told := x.lastWord(s.stopped)
		if x.server == s.old && told && at.Add(slot).After(due) {
			if !due.IsZero() {
				require.LessOrEqual(t, x.began.Sub(due), time.Second, "it comes again in its slot:\n%s", story)
			}
			due = at.Add(slot)
		}
		if back = x.standing && x.server == s.next && x.status == http.StatusOK; back {
			if !due.IsZero() {
				s.after = append(s.after, x.began.Sub(due))
				require.LessOrEqual(t, x.began.Sub(due), time.Second, "back at the next server in its slot and a second:\n%s", story)
			}
			break // what comes now are calls in the session that was drained
		}
	}
	require.True(t, back, "no standing stream at the next server:\n%s", story)
}

// lastWord returns when a client was asked to come back, and how much later.
func (x *exchange) lastWord(stopped time.Time) (at time.Time, slot time.Duration, told bool) {
	end := x.body.end()
	switch {
	case x.method == http.MethodGet && x.began.After(stopped): // a refusal, which go-sdk's client may close unread
		return x.answered, end.retry, true
	case x.refused > 0:
		return x.answered, x.refused, true
	case end.retry > 0 && !end.at.IsZero(): // also closed by the client behind its farewell
		return end.at, end.retry, true
	}
	return time.Time{}, 0, false
}

func (c cell) old() bool { return strings.HasSuffix(c.name, "SSE") }
