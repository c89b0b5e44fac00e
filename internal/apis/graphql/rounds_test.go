package graphql

import (
	"cmp"
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

// Each client's subscription goes on on the next server: it is told so that it comes back in its
// slot, and comes back from a refusal. No value is lost, doubled or torn before that.
func TestSubscriptions(t *testing.T) {
	for _, c := range []rig.Command{
		{Client: "graphql-ws"}, {Client: "graphql-sse"}, {Client: "graphql-sse", HTTP2: true}, {Client: "apollo"}, {Client: "apollo", HTTP2: true},
	} {
		t.Run(name(c), func(t *testing.T) {
			t.Parallel()
			node := rig.Start(t)
			var mu sync.Mutex
			var all []returned // of those that were told
			rig.Rounds(t, func(r *rig.Round) {
				if back := subscriptionRound(r, node, c); back.slot > 0 {
					mu.Lock()
					defer mu.Unlock()
					all = append(all, back)
				}
			})
			if len(all) > 0 {
				slices.SortFunc(all, func(a, b returned) int { return cmp.Compare(a.after-a.slot, b.after-b.slot) })
				last := len(all) - 1
				t.Logf("%s: %d were told, and called the next server this long after their slot: %.1f ms (median), %.1f ms (at most)",
					name(c), len(all), all[last/2].after-all[last/2].slot, all[last].after-all[last].slot)
			}
		})
	}
}

func name(c rig.Command) string {
	if c.HTTP2 {
		return c.Client + " over HTTP 2"
	}
	return c.Client
}

// A returned is a client's way to the next server, in milliseconds.
type returned struct {
	slot  float64 // zero: it was refused, or came late
	after float64 // from its farewell, or the moment when the next server listened if that is later, to its call
}

func subscriptionRound(r *rig.Round, node *rig.Node, c rig.Command) (back returned) {
	first := newSchema(r, "first")
	d := &middleware.Drainer{Policy: soon}
	a := rig.Serve(r, r.Host+":0", d, first.handler(d))
	c.URL = "http://" + a.Addr
	id, events := node.Begin(r, c)
	defer node.Stop(r, id)
	r.AwaitSome(first.arrived, during)
	report := a.Drain(r)

	second := newSchema(r, "second")
	d = &middleware.Drainer{Policy: soon}
	b := rig.Serve(r, a.Addr, d, second.handler(d))
	listens := float64(time.Now().UnixMicro()) / 1000
	defer b.Drain(r)

	limit := time.NewTimer(rig.Limit)
	defer limit.Stop()
	next := map[string]int{} // value of each server
	var said string
	var story []rig.Event
	refused := uint64(0)
	farewell := 0.0 // when the client began to wait
	waited := 0.0   // milliseconds since then, or since the next server listens if that is later
	for next["second"] < 3 {
		select {
		case e := <-events:
			server, n, _ := strings.Cut(e.Value, "/")
			switch {
			case e.Value != "" && server == "first" && next["second"] > 0:
				r.Errorf("back on the first server")
				return
			case e.Value != "":
				assert.Equal(r, fmt.Sprint(next[server]), n, "the next value of the %s server", server)
				next[server]++
			case e.Calls > 0:
				story = append(story, e)
				back.after = e.Calls - max(farewell, listens)
			case e.Waits != nil:
				story = append(story, e)
				if next["first"] > 0 && back.slot == 0 {
					back.slot, farewell = *e.Waits, e.At
				}
				waited += min(*e.Waits, max(0, e.At+*e.Waits-listens))
			case e.Refused:
				refused++
			case e.Told != "":
				said += e.Told + "; "
			default:
				r.Errorf("it has ended: %+v", e)
				return
			}
		case <-limit.C:
			r.Errorf("it isn't back, after %v: %+v\n%+v", next, story, report)
			return
		}
	}
	told := next["first"] > 0
	if told {
		// It is back in its slot and a second, as far as that is its doing: on a busy machine its
		// process may get no time for longer than that. So what counts is how long it chose to
		// wait. The second is for the case that its first call fails, since nobody listens yet, or
		// since its pool has a connection whose end it hasn't read.
		assert.Positive(r, back.slot, "the slot that it waits for: %+v", story)
		assert.LessOrEqual(r, back.slot, float64(soon.Reconnect.Max.Milliseconds()), "the slot that it waits for: %+v", story)
		assert.LessOrEqual(r, waited, back.slot+1000, "it waits longer, where the next server listens at %v: %+v", listens, story)
	}
	if c.Client == "apollo" && told {
		assert.Contains(r, said, "service restart")
	}
	if told := report.Told + report.Before.Told; c.Client == "graphql-ws" { // which connects before it subscribes
		assert.LessOrEqual(r, uint64(first.streams.Load()), told, "%+v", report)
	} else {
		assert.EqualValues(r, first.streams.Load(), told, "%+v", report)
	}
	assert.Zero(r, report.Canceled+report.Cut+report.Unanswered, "%+v", report)
	assert.LessOrEqual(r, refused, report.Refused, "%+v", report) // a refusal may be lost with its connection
	assert.EqualValues(r, 1, second.streams.Load())
	return back
}

// Queries whose parts are deferred run to their end, and what came too late gets its answer from
// the next server.
func TestDeferred(t *testing.T) {
	node := rig.Start(t)
	for _, c := range []rig.Command{{Client: "meros"}, {Client: "meros", HTTP2: true}} {
		t.Run(name(c), func(t *testing.T) {
			t.Parallel()
			rig.Rounds(t, func(r *rig.Round) { deferredRound(r, node, c) })
		})
	}
}

func deferredRound(r *rig.Round, node *rig.Node, c rig.Command) {
	first, second := newSchema(r, "first"), newSchema(r, "second")
	d := &middleware.Drainer{Policy: soon}
	a := rig.Serve(r, r.Host+":0", d, first.handler(d))
	c.URL, c.Question = "http://"+a.Addr, "q"
	_, events := node.Begin(r, c)
	r.AwaitSome(first.arrived, during)
	report := a.Drain(r)
	d = &middleware.Drainer{Policy: soon}
	b := rig.Serve(r, a.Addr, d, second.handler(d))
	limit := time.NewTimer(rig.Limit)
	defer limit.Stop()
	refused := uint64(0)
	for answered := false; !answered; {
		select {
		case e := <-events:
			if e.Refused {
				refused++
				continue
			}
			if assert.NotNil(r, e.Answer, "%+v", e) {
				s := map[bool]*schema{true: first, false: second}[first.answered.Load() > 0]
				assert.True(r, strings.HasPrefix(*e.Answer, s.name) && strings.HasSuffix(*e.Answer, s.name+"/0 "), *e.Answer)
			}
			answered = true
		case <-limit.C:
			r.Errorf("no answer")
			return
		}
	}
	assert.LessOrEqual(r, refused, report.Refused, "%+v", report) // a refusal may be lost with its connection
	assert.EqualValues(r, 1, first.answered.Load()+second.answered.Load())
	assert.EqualValues(r, first.answered.Load(), report.Completed+report.Before.Completed, "%+v", report)
	assert.Zero(r, report.Told+report.Canceled+report.Cut, "%+v", report)
	b.Drain(r)
}
