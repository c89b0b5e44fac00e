package middleware_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// mcpHandler answers a GET, or a subscription, with an event stream that never ends, and other
// requests with one that ends after their header's Ms milliseconds, or never by itself.
func mcpHandler(w http.ResponseWriter, r *http.Request) {
	if ms, _ := strconv.Atoi(r.Header.Get("Late")); ms > 0 {
		time.Sleep(time.Duration(ms) * time.Millisecond)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.(http.Flusher).Flush()
	ms, err := strconv.Atoi(r.Header.Get("Ms"))
	if err != nil {
		<-r.Context().Done()
		return
	}
	time.Sleep(time.Duration(ms) * time.Millisecond)
	_, _ = io.WriteString(w, "data: result\n\n")
}

// An mcpAnswer is what a client read of an answer, and when it ended.
type mcpAnswer struct {
	text string
	err  error
	at   time.Time
}

func (r *rig) mcp(method string, header ...string) <-chan mcpAnswer {
	c := make(chan mcpAnswer, 1)
	go func() {
		req, err := http.NewRequest(method, "http://memory/mcp", nil)
		if err != nil {
			c <- mcpAnswer{err: err}
			return
		}
		setFields(req, append(header, "Accept", "text/event-stream"))
		resp, err := r.client.Do(req)
		if err != nil {
			c <- mcpAnswer{err: err}
			return
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		c <- mcpAnswer{string(text), err, time.Now()}
	}()
	synctest.Wait()
	return c
}

// requireTold requires that a stream was told this long after the drain's beginning, and ended 250
// ms later, in order and without an event of ours.
func (r *rig) requireTold(c <-chan mcpAnswer, after time.Duration) {
	r.t.Helper()
	a := <-c
	require.NoError(r.t, a.err)
	require.Regexp(r.t, `^retry: \d+\n\n$`, a.text)
	require.Equal(r.t, after+250*time.Millisecond, a.at.Sub(r.began))
}

// TestStandingStreamWaitsForItsCalls has sessions of the Model Context Protocol drained: the
// standing stream of one that has calls is told when the last of them has ended.
func TestStandingStreamWaitsForItsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(mcpHandler))
		busy, late := r.mcp("GET", "Mcp-Session-Id", "busy"), r.mcp("GET", "Mcp-Session-Id", "busy", "Late", "1000")
		idle, other := r.mcp("GET", "Mcp-Session-Id", "idle"), r.mcp("GET", "Mcp-Protocol-Version", "2025-11-25")
		first, last := r.mcp("POST", "Mcp-Session-Id", "busy", "Ms", "2000"), r.mcp("POST", "Mcp-Session-Id", "busy", "Ms", "5000")
		r.drain()
		r.requireTold(idle, 0)
		r.requireTold(other, 0)
		require.Equal(t, "data: result\n\n", (<-first).text)
		require.Equal(t, "data: result\n\n", (<-last).text)
		r.requireTold(busy, 5*time.Second)
		r.requireTold(late, 5*time.Second)
		report := r.endsAfter(5250 * time.Millisecond)
		require.Equal(t, middleware.Outcomes{Completed: 2, Told: 4}, report.Outcomes)
	})
}

// TestStandingStreamDoesNotWaitForEver has a session whose call never ends.
func TestStandingStreamDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Budget: policy.Budget{Total: 10 * time.Second, Reserve: time.Second}}
		r := serve(t, d, http.HandlerFunc(mcpHandler))
		standing, call := r.mcp("GET", "Mcp-Session-Id", "1"), r.mcp("POST", "Mcp-Session-Id", "1")
		r.drain()
		r.requireTold(standing, 7750*time.Millisecond) // 9 s of work, less Timeout and Mercy
		require.Error(t, (<-call).err)
		report := r.endsAfter(8 * time.Second)
		require.EqualValues(t, 1, report.Told)
		require.EqualValues(t, 1, report.Cut)
	})
}

// TestSubscription drains a subscription of newer versions of the protocol beside a call.
func TestSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(mcpHandler))
		const version, method = "Mcp-Protocol-Version", "Mcp-Method"
		listen := r.mcp("POST", version, "2026-07-28", method, "subscriptions/listen")
		call := r.mcp("POST", version, "2026-07-28", method, "tools/call", "Ms", "3000")
		r.drain()
		r.requireTold(listen, 0)
		require.Equal(t, "data: result\n\n", (<-call).text)
		require.Equal(t, middleware.Outcomes{Completed: 1, Told: 1}, r.endsAfter(3*time.Second).Outcomes)
	})
}

// TestMCPFarewellByRule has a rule say what the stream is told, and how it ends.
func TestMCPFarewellByRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Farewell: policy.Farewell{Event: "bye"}, Ending: policy.BrokenEnding}}
		r := serve(t, d, http.HandlerFunc(mcpHandler))
		standing := r.mcp("GET", "Mcp-Session-Id", "1")
		r.drain()
		a := <-standing
		require.Error(t, a.err)
		require.Contains(t, a.text, "event: bye\n")
		require.EqualValues(t, 1, r.endsAfter(250*time.Millisecond).Broken)
	})
}

// A handler may change its request's header at any time, whatever the drain looks for there.
func TestHandlerChangesItsRequestsHeader(t *testing.T) {
	for _, kind := range []policy.Kind{policy.Auto, policy.Infinite} {
		for _, name := range []string{"Mcp-Session-Id", "Content-Type"} {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Kind: kind}}
				r := serve(t, d, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					for range 10 {
						r.Header.Set("X-Request-Id", "1") // -race sees who reads the header meanwhile
						time.Sleep(100 * time.Millisecond)
					}
				}))
				ended := make(chan error)
				go func() {
					res, err := r.client.Post("http://memory/", grpcType, strings.NewReader(message))
					if err == nil {
						err = res.Body.Close()
					}
					ended <- err
				}()
				if name != "Content-Type" {
					c := r.mcp(http.MethodPost, name, "1")
					defer func() { <-c }()
				}
				r.drain()
				require.NoError(t, <-ended)
				_, err := r.end()
				require.NoError(t, err)
			})
		}
	}
}
