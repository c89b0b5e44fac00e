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

	"github.com/lastcall-go/lastcall/policy"
)

// A verdict is what a client that nobody here wrote makes of the end of a row's connection.
type verdict struct {
	Row   int    `json:"row"`
	Last  string `json:"last"` // the last message, or its beginning
	Close *struct {
		Code     int    `json:"code"`
		Reason   string `json:"reason"`
		WasClean bool   `json:"wasClean"`
	} `json:"close"`
}

// A clientele connects to all URLs at once, and gives what it makes of each one's end to use, as that comes. What comes
// after a # in a URL is how the message begins on which the client closes the connection by itself, with 1000 and "mine".
type clientele func(t *testing.T, urls []string, use func(verdict))

// What rows are told, and what their clients make of that. Those with a message have the client's own Close cross ours.
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

// TestRealClients drains every cell of the table in front of clients that nobody here wrote, with the farewells that a rule
// may have: each sees the end for a clean one, with the rule's code and reason. What is against the protocol they would call
// 1006 or 1002.
func TestRealClients(t *testing.T) {
	inFrontOfEach(t, func(t *testing.T, clients clientele, secure bool) {
		var rounds []*round
		var wanted []int // by row, of farewells
		for i, c := range cells() {
			if c.secure != secure {
				continue
			}
			told := []int{i % len(farewells)}
			if c.name == libraries[0].name { // one has them all
				told = nil
				for f := range farewells {
					told = append(told, f)
				}
			}
			for _, f := range told {
				o := newRound(c, uint64(f+1))
				o.farewell, o.crosses, o.stalls = farewells[f].Farewell, false, false
				o.drains = make([]bool, max(1, c.proxies))
				o.drains[0] = true // the one that the client sees
				rounds, wanted = append(rounds, o), append(wanted, f)
			}
		}
		drainInFrontOf(t, clients, rounds, func(row int, c verdict) {
			o, want := rounds[row], farewells[wanted[row]]
			assert.Equal(t, want.code, c.Close.Code, "%v: %+v", o, *c.Close)
			assert.Regexp(t, want.reason, c.Close.Reason, "%v", o)
			assert.True(t, c.Close.WasClean, "%v: %+v", o, *c.Close)
			if want.Message != "" && o.work != fragments {
				assert.Regexp(t, lastMessage, c.Last, "%v", o)
			}
		})
	})
}

// inFrontOfEach runs a test with each clientele, with and without TLS.
func inFrontOfEach(t *testing.T, test func(t *testing.T, clients clientele, secure bool)) {
	for name, fetch := range map[string]func(t *testing.T) clientele{"Node's ws": nodes, "Chromium": chromiums} {
		for transport, secure := range map[string]bool{"plain": false, "TLS": true} {
			t.Run(name+"/"+transport, func(t *testing.T) {
				t.Parallel() // the clients mostly wait, Chromium by itself between connections
				test(t, fetch(t), secure)
			})
		}
	}
}

// unhurried is the least that a client gets to answer our Close, which is one process for all of them.
const unhurried = 3 * time.Second

// drainInFrontOf has clients connect to a site for each round, and each be drained at its round's moment.
func drainInFrontOf(t *testing.T, clients clientele, rounds []*round, use func(row int, c verdict)) {
	urls, works := make([]string, len(rounds)), make([]*shift, len(rounds))
	var draining sync.WaitGroup
	for i, o := range rounds {
		told := make(chan struct{})
		o.draining = told
		rule := o.rule()
		rule.Timeout = max(rule.Timeout, unhurried)
		works[i], urls[i] = enter(t, o.cell, rule, o.play)
		if o.farewell.Message != "" {
			urls[i] += "#{"
		}
		draining.Go(func() {
			<-o.now
			works[i].drainers[0].Start()
			close(told)
		})
	}
	seen := 0
	clients(t, urls, func(c verdict) {
		seen++
		close(rounds[c.Row].seen)
		use(c.Row, c)
	})
	require.Equal(t, len(rounds), seen)
	draining.Wait()
	for i, work := range works {
		report := drained(t, work.drainers[0])
		assert.EqualValues(t, 1, report.Told, "%v: %+v", rounds[i], report)
	}
	t.Logf("%d connections closed", seen)
}

// enter gives a cell's site to real clients.
func enter(t *testing.T, c cell, rule policy.Rule, play func(context.Context, conn)) (work *shift, url string) {
	s := newSite(t, c.library, c.secure)
	work = s.begin(rule, play)
	s.doors[0].lead(sameOrigin(*s.doors[0].handler.Load()))
	return work, strings.Replace(s.doors[0].URL, "http", "ws", 1)
}

// sameOrigin has the clients come from a page of the server's own: half of the libraries ask for that.
func sameOrigin(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Origin", "http://"+r.Host)
		h.ServeHTTP(w, r)
	})
}
