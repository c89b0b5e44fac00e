package websocket

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/internal/interplay/websocket/node"
	"github.com/lastcall-go/lastcall/policy"
)

// A clients function connects a client to each URL, all at once, and calls use with each
// connection's end as it comes. The part of a URL after # is the start of a message: when such a
// message comes, the client closes that connection itself, with code 1000 and reason "mine".
type clients func(t *testing.T, urls []string, use func(node.Result))

// farewells are what rules say, and the close events that clients have to see. With a message, the
// client's own Close crosses the farewell's.
var farewells = []struct {
	policy.Farewell
	code   int
	reason string // a pattern
}{
	{policy.Farewell{}, 1012, `^service restart; retry=[1-4]\d{3}$`},
	{policy.ComeBack(), 1012, `^service restart; retry=[1-4]\d{3}$`},
	{policy.StayAway(), 1000, `^closed; do not reconnect$`},
	{policy.Farewell{Code: 1001, Reason: "bye"}, 1001, `^bye$`},
	{policy.Farewell{Code: 1013}, 1013, `^service restart; retry=[1-4]\d{3}$`},
	{policy.Farewell{Code: 4000, Reason: "κόσμε {retry}"}, 4000, `^κόσμε [1-4]\d{3}$`},
	{policy.Farewell{Message: `{"retry":{retry}}`}, 1012, `^service restart; retry=[1-4]\d{3}$`},
	{policy.Farewell{Code: 4999, Reason: strings.Repeat("r", 123), Message: `{"retry":{retry}}`}, 4999, `^r{123}$`},
}

// TestClients drains every cell in front of clients that are not ours, with all sorts of farewells.
// Each client has to see a clean end with the rule's code and reason. They would report 1006 or
// 1002 for whatever is against the protocol.
func TestClients(t *testing.T) {
	forEachClient(t, func(t *testing.T, connect clients, secure bool) {
		var rounds []*round
		var wanted []int // by row, the index of its farewell
		for i, c := range cells() {
			if c.secure != secure {
				continue
			}
			chosen := []int{i % len(farewells)}
			if c.name == libraries[0].name { // the first has all of them
				chosen = nil
				for f := range farewells {
					chosen = append(chosen, f)
				}
			}
			for _, f := range chosen {
				o := newRound(c, uint64(f+1))
				o.farewell, o.clientCloses, o.clientWaits = farewells[f].Farewell, false, false
				o.drains = make([]bool, max(1, c.proxies))
				o.drains[0] = true // the one that the client is connected to
				rounds, wanted = append(rounds, o), append(wanted, f)
			}
		}
		drainRounds(t, connect, rounds, func(row int, r node.Result) {
			o, want := rounds[row], farewells[wanted[row]]
			assert.Equal(t, want.code, r.Close.Code, "%v: %+v", o, *r.Close)
			assert.Regexp(t, want.reason, r.Close.Reason, "%v", o)
			assert.True(t, r.Close.WasClean, "%v: %+v", o, *r.Close)
			if want.Message != "" && o.activity != fragments {
				assert.Regexp(t, farewellMessage, r.Last, "%v", o)
			}
		})
	})
}

// forEachClient runs a test with each kind of client, with TLS and without.
func forEachClient(t *testing.T, test func(t *testing.T, connect clients, secure bool)) {
	for name, prepare := range map[string]func(t *testing.T) clients{"Node's ws": nodeClients, "Chromium": chromiumClients} {
		for transport, secure := range map[string]bool{"plain": false, "TLS": true} {
			t.Run(name+"/"+transport, func(t *testing.T) {
				t.Parallel() // the clients mostly wait, Chromium also between two connections
				test(t, prepare(t), secure)
			})
		}
	}
}

// minTimeout is the shortest timeout here. One process answers the Close of all connections.
const minTimeout = 3 * time.Second

// drainRounds connects a client to a site for each round, and drains it at the round's moment.
func drainRounds(t *testing.T, connect clients, rounds []*round, use func(row int, r node.Result)) {
	urls, sessions := make([]string, len(rounds)), make([]*session, len(rounds))
	var draining sync.WaitGroup
	for i, o := range rounds {
		started := make(chan struct{})
		o.draining = started
		rule := o.rule()
		rule.Timeout = max(rule.Timeout, minTimeout)
		sessions[i], urls[i] = startSession(t, o.cell, rule, o.handle)
		if o.farewell.Message != "" {
			urls[i] += "#{"
		}
		draining.Go(func() {
			<-o.start
			sessions[i].drainers[0].Start()
			close(started)
		})
	}
	closed := 0
	connect(t, urls, func(r node.Result) {
		closed++
		close(rounds[r.Row].over)
		use(r.Row, r)
	})
	require.Equal(t, len(rounds), closed)
	draining.Wait()
	for i, s := range sessions {
		report := harness.Shutdown(t, s.drainers[0])
		assert.EqualValues(t, 1, report.Told, "%v: %+v", rounds[i], report)
	}
	t.Logf("%d connections closed", closed)
}

// startSession starts a site of a cell, for clients that send an Origin of their own.
func startSession(t *testing.T, c cell, rule policy.Rule, handle func(context.Context, conn)) (started *session, url string) {
	s := newSite(t, c.library, c.secure)
	started = s.start(rule, handle)
	s.servers[0].setHandler(sameOrigin(*s.servers[0].handler.Load()))
	return started, strings.Replace(s.servers[0].URL, "http", "ws", 1)
}

// sameOrigin sets the Origin of requests to the server's own, as half of the libraries want it.
func sameOrigin(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Origin", "http://"+r.Host)
		h.ServeHTTP(w, r)
	})
}
