package graphql

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/internal/apis/rig"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// during is the time in which subscriptions, calls and the drain begin.
const during = 80 * time.Millisecond

// soon is a rule by which clients come back soon. It says nothing of what is drained how.
var soon = policy.Rule{Reconnect: policy.Window{Min: time.Millisecond, Max: 100 * time.Millisecond}}

// Each client's subscription goes on on the next server: it is told so that it comes back, and comes
// back from a refusal. No value is lost, doubled or torn before that.
func TestSubscriptions(t *testing.T) {
	for _, name := range []string{"graphql-ws", "graphql-sse", "apollo"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := rig.Start(t)
			var mu sync.Mutex
			var away []time.Duration // of those that were told
			rig.Rounds(t, func(r *rig.Round) {
				if d := subscriptionRound(r, node, name); d > 0 {
					mu.Lock()
					defer mu.Unlock()
					away = append(away, d)
				}
			})
			if slices.Sort(away); len(away) > 0 {
				t.Logf("%d were told, and back on the next server after %v (median), %v at most", len(away), away[len(away)/2], away[len(away)-1])
			}
		})
	}
}

// subscriptionRound returns how long a client that was told was away: from the last value of one
// server, or the moment when the next one listened if that is later, to its first value.
func subscriptionRound(r *rig.Round, node *rig.Node, name string) time.Duration {
	first := newSchema(r, "first")
	d := &middleware.Drainer{Policy: soon}
	a := rig.Serve(r, r.Host+":0", d, first.handler(d))
	id, events := node.Begin(r, rig.Command{Client: name, URL: "http://" + a.Addr})
	defer node.Stop(r, id)
	r.AwaitSome(first.arrived, during)
	report := a.Drain(r)

	second := newSchema(r, "second")
	d = &middleware.Drainer{Policy: soon}
	b := rig.Serve(r, a.Addr, d, second.handler(d))
	listens := time.Now()
	defer b.Drain(r)

	limit := time.NewTimer(rig.Limit)
	defer limit.Stop()
	next := map[string]int{} // value of each server
	var said, notes string
	for next["second"] < 3 {
		select {
		case e := <-events:
			server, n, _ := strings.Cut(e.Value, "/")
			switch {
			case e.Value != "" && server == "first" && next["second"] > 0:
				r.Errorf("back on the first server")
				return 0
			case e.Value != "":
				assert.Equal(r, fmt.Sprint(next[server]), n, "the next value of the %s server", server)
				next[server]++
				if server == "first" {
					listens = later(listens, e.At)
				} else if next[server] == 1 {
					listens = time.Time{}.Add(e.At.Sub(listens)) // from here on how long it was away
				}
			case e.Note != "":
				notes += e.Note + "; "
			case e.Told != "":
				said += e.Told + "; "
			default:
				r.Errorf("it has ended: %+v", e)
				return 0
			}
		case <-limit.C:
			r.Errorf("it isn't back, after %v: %s\n%+v", next, notes, report)
			return 0
		}
	}
	told := next["first"] > 0
	if name == "apollo" && told {
		assert.Contains(r, said, "service restart")
	}
	if told := report.Told + report.Before.Told; name == "graphql-ws" { // which connects before it subscribes
		assert.LessOrEqual(r, uint64(first.streams.Load()), told, "%+v", report)
	} else {
		assert.EqualValues(r, first.streams.Load(), told, "%+v", report)
	}
	assert.Zero(r, report.Canceled+report.Cut+report.Unanswered, "%+v", report)
	assert.EqualValues(r, 1, second.streams.Load())
	if !told {
		return 0
	}
	return listens.Sub(time.Time{})
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Queries whose parts are deferred run to their end, and what came too late gets its answer from the
// next server.
func TestDeferred(t *testing.T) {
	node := rig.Start(t)
	rig.Rounds(t, func(r *rig.Round) {
		first, second := newSchema(r, "first"), newSchema(r, "second")
		d := &middleware.Drainer{Policy: soon}
		a := rig.Serve(r, r.Host+":0", d, first.handler(d))
		_, events := node.Begin(r, rig.Command{Client: "meros", URL: "http://" + a.Addr, Question: "q"})
		r.AwaitSome(first.arrived, during)
		report := a.Drain(r)
		d = &middleware.Drainer{Policy: soon}
		b := rig.Serve(r, a.Addr, d, second.handler(d))
		limit := time.NewTimer(rig.Limit)
		defer limit.Stop()
		select {
		case e := <-events:
			if assert.NotNil(r, e.Answer, "%+v", e) {
				s := map[bool]*schema{true: first, false: second}[first.answered.Load() > 0]
				assert.True(r, strings.HasPrefix(*e.Answer, s.name) && strings.HasSuffix(*e.Answer, s.name+"/0 "), *e.Answer)
			}
		case <-limit.C:
			r.Errorf("no answer")
		}
		assert.EqualValues(r, 1, first.answered.Load()+second.answered.Load())
		assert.EqualValues(r, first.answered.Load(), report.Completed+report.Before.Completed, "%+v", report)
		assert.Zero(r, report.Told+report.Canceled+report.Cut, "%+v", report)
		b.Drain(r)
	})
}
