package mcp

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// An app is an application that uses a client library.
type app interface {
	connect(context.Context) (session, error)
	close()
}

// A session is what it calls tools in.
type session interface {
	call(context.Context, task) (string, error)
	over() // returns when the session is
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

	// back returns when the library itself comes back for a standing stream that has ended with this
	// reconnect slot; nil: it leaves that to the application.
	back func(slot time.Duration) time.Duration
}

func inItsSlot(slot time.Duration) time.Duration { return slot }
func afterASecond(time.Duration) time.Duration   { return time.Second }

var cells = []cell{
	{"go-sdk 2025-11-25", goSDKStreamable, func(s *site) app { return &goSDKApp{site: s, version: "2025-11-25"} }, true, false, inItsSlot},
	{"go-sdk 2025-11-25 with JSON", goSDKJSON, func(s *site) app { return &goSDKApp{site: s, version: "2025-11-25"} }, true, false, inItsSlot},
	{"go-sdk on mcp-go 2025-11-25", mcpGoStreamable, func(s *site) app { return &goSDKApp{site: s, version: "2025-11-25"} }, true, false, inItsSlot},
	{"go-sdk 2026-07-28", goSDKStateless, func(s *site) app { return &goSDKApp{site: s} }, true, true, nil},
	{"go-sdk HTTP+SSE", goSDKSSE, func(s *site) app { return &goSDKApp{site: s, version: "2024-11-05", sse: true} }, true, false, nil},
	{"mcp-go 2025-11-25", mcpGoStreamable, func(s *site) app { return &mcpGoApp{site: s} }, true, false, afterASecond},
	{"mcp-go on go-sdk 2025-11-25", goSDKStreamable, func(s *site) app { return &mcpGoApp{site: s} }, true, false, afterASecond},
	{"mcp-go on go-sdk HTTP+SSE", goSDKSSE, func(s *site) app { return &mcpGoApp{site: s, sse: true} }, false, false, nil},
	{"mcp-go 2026-07-28", mcpGoStreamable, func(s *site) app { return &mcpGoApp{site: s, modern: true} }, false, true, nil},
	{"mcp-go HTTP+SSE", mcpGoSSE, func(s *site) app { return &mcpGoApp{site: s, sse: true} }, false, false, nil},
}

// TestDrain drains each transport of each library at random moments.
func TestDrain(t *testing.T) {
	for _, c := range cells {
		t.Run(c.name, func(t *testing.T) {
			for i := range *rounds {
				seed := *firstSeed + uint64(i)
				ok := t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { c.round(t, seed) })
				})
				if !ok {
					return
				}
			}
		})
	}
}

func (c cell) round(t *testing.T, seed uint64) {
	s := newSite(t, seed, withRule, c.serve)
	a := c.app(s)
	defer a.close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	first, err := a.connect(ctx)
	require.NoError(t, err)
	synctest.Wait()

	stop := s.ms(500, 3000)
	var running sync.WaitGroup
	defer running.Wait()
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
		first.over()
		for ctx.Err() == nil {
			if _, err := a.connect(ctx); err == nil {
				return
			}
			time.Sleep(500 * time.Millisecond)
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
}

// half is half of a task's work.
func (k task) half() { time.Sleep(time.Duration(k.MS) * time.Millisecond / 2) }

func (k task) result() string {
	if k.Ask {
		return k.Token + "!"
	}
	return k.Token
}

// callUntilDone calls until the call succeeds: in the session where that makes sense, or in a new one.
func (c cell) callUntilDone(ctx context.Context, t *testing.T, s *site, a app, in session, k task) {
	if !s.sticky {
		in = nil // the next server doesn't know the session
	}
	for try := 0; ; try++ {
		require.Less(t, try, 60, "call %v is refused for ever", k)
		var err error
		if in == nil {
			in, err = a.connect(ctx)
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
	var standing []*exchange
	atNext := false
	for _, x := range s.exchanges() {
		if x.standing {
			end := x.body.end()
			fmt.Fprintf(&story, "%s %s %d began %v retry %v ended %v\n", x.server.name, x.method, x.status,
				x.began.Sub(s.stopped), end.retry, end.story(s.stopped))
			standing = append(standing, x)
			atNext = atNext || x.server == s.next
		}
	}
	if !c.listen || !c.goSDK() { // whose client never subscribes again
		require.True(t, atNext, "no standing stream at the next server:\n%s", &story)
	}
	for i, x := range standing {
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
		for _, y := range standing[i+1:] {
			came = came || y.key == x.key && !y.began.Before(due) && y.began.Before(due.Add(time.Second))
		}
		for _, y := range s.exchanges() { // a late call that meets a server without the session ends it
			came = came || y.key == x.key && y.status == http.StatusNotFound && y.began.Before(due)
		}
		require.True(t, came, "nobody came back %v after %v:\n%s", c.back(end.retry), end.at.Sub(s.stopped), &story)
	}
}

func (c cell) old() bool { return strings.HasSuffix(c.name, "SSE") }

func (c cell) goSDK() bool { return strings.HasPrefix(c.name, "go-sdk") }
