package draintest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lastcall-go/lastcall/internal/request"
	"github.com/lastcall-go/lastcall/sse"
)

// afterItsClient is the moment of a trial whose only client has left before the drain.
const afterItsClient = "drained after its client had left"

// trials drains the route at each moment.
func (d *drill) trials(r request.Request) {
	n := d.normal
	write := 1 // the one at which the drain begins
	if n.webSocket {
		write++ // after the handshake
	}
	if n.writes > write {
		write++
	}
	wait := longLook // for that write
	if n.writes < write {
		wait, write = 5*time.Second, 0
	}
	text := r.Wire(host, n.webSocket)

	at := func(name string, m moment) {
		d.trial(name, r, func(tr *trial) {
			tr.rec.moment = m
			d.drainUnder(tr, r, wait)
		})
	}
	at("drained before its first byte", moment{first: true})
	at("drained between two writes", moment{write: write})
	if write > 0 {
		at("drained in the middle of a write", moment{write: write, middle: true})
	}
	if n.infinite || n.client.took > time.Second {
		d.trial("drained while it waited", r, func(tr *trial) {
			d.drainUnder(tr, r, min(n.client.took/2, 5*time.Second+pause))
		})
	}
	d.trial("drained while its peer read nothing", r, func(tr *trial) {
		tr.raw(text)
		tr.awaitMoment(5 * time.Second)
	})
	d.trial("drained while its peer read slowly", r, func(tr *trial) {
		tr.rec.moment = moment{write: write}
		tr.readSlowly(n.client, n.writes)
		d.drainUnder(tr, r, wait)
	})
	d.trial("drained with its request half sent", r, func(tr *trial) {
		half := len(text) / 2
		if len(r.Body) > 1 && !n.webSocket {
			half = len(text) - len(r.Body)/2
		}
		tr.raw(text[:half])
		tr.awaitMoment(5 * time.Second)
	})
	d.trial("drained as its peer vanished", r, func(tr *trial) {
		tr.rec.moment = moment{write: write}
		c := tr.raw(text)
		tr.awaitMoment(min(wait, 5*time.Second))
		_ = Vanish(c)
	})
	d.late("drained as a new client came", r, 0)
	d.late("drained as its connection waited to be accepted", r, time.Second/2)
	d.trial("drained twice at once, with two clients", r, func(tr *trial) {
		tr.rec.moment = moment{write: write}
		tr.rec.onMoment = func() {
			until(time.Minute, func() bool { return len(tr.calls.all()) >= 2 })
			tr.onMoment()
		}
		one, other := tr.open(r, n.webSocket), tr.open(r, n.webSocket)
		tr.awaitMoment(wait)
		for range 2 {
			go func() { _ = tr.d.Shutdown(context.Background()) }() // Run returns the same
		}
		tr.drain()
		tr.judgeClient(one)
		tr.judgeClient(other)
	})
	if d.second.Path != "" {
		d.trial("drained before its second request", r, func(tr *trial) {
			c := tr.open(r, n.webSocket)
			time.Sleep(time.Second)
			tr.beginDrain()
			second := tr.open(d.second, false)
			second.end(10 * time.Second)
			tr.judgeSecond(second)
			tr.drain()
			tr.judgeClient(c)
		})
	}
}

// drainUnder drains the server under a client, when the moment has come or the time is up, and
// judges what the client has seen.
func (d *drill) drainUnder(tr *trial, r request.Request, atMost time.Duration) {
	c := tr.open(r, d.normal.webSocket)
	tr.awaitMoment(atMost)
	tr.drain()
	tr.judgeClient(c)
}

// late has a client come while the server drains, since it waits for a task. With before, the
// client connects that long before the drain, and is accepted in it.
func (d *drill) late(name string, r request.Request, before time.Duration) {
	d.trial(name, r, func(tr *trial) {
		release := make(chan struct{})
		if err := tr.d.Go(context.Background(), func(context.Context) { <-release }); err != nil {
			tr.t.Fatalf("draintest: %v", err) // the drain has not begun
		}
		var c *client
		if before > 0 {
			budget := tr.d.Budget.WithDefaults()
			before = min(before, (budget.Total-budget.Announce-budget.Reserve)/2)
			tr.listener.d = budget.Announce + 2*before
			c = tr.open(r, d.normal.webSocket)
			time.Sleep(before)
		}
		tr.beginDrain()
		if c == nil {
			c = tr.open(r, d.normal.webSocket)
		}
		c.end(10 * time.Second)
		tr.judgeLate(c)
		close(release)
	})
}

// trial runs f with a new server in a bubble, drains the server if f hasn't, and judges how its
// handlers ended.
func (d *drill) trial(moment string, r request.Request, f func(tr *trial)) {
	if probe := r.HTTP("http://" + host); sse.FromEventSource(probe) {
		moment += ", with an EventSource"
	} else if sse.Accepts(probe) {
		moment += ", with a client that is no EventSource"
	}
	before, skipped := len(d.findings), false
	stuck := inBubbleOfItsOwn(d.t, func(t *testing.T) {
		defer func() { skipped = t.Skipped() }()
		tr := newTrial(t, d, moment)
		f(tr)
		if !tr.drained {
			tr.drain()
		}
		tr.judgeTrial()
	})
	if skipped {
		d.t.SkipNow() // by start
	}
	if stuck != nil && len(d.findings) == before && !d.stuck {
		d.report("0.2", moment, "doesn't come to an end: %v", stuck)
	}
	d.stuck = d.stuck || stuck != nil
}

// inBubbleOfItsOwn calls f in a bubble, and returns what synctest panics with where goroutines of
// the bubble never end, otherwise nil.
func inBubbleOfItsOwn(t *testing.T, f func(t *testing.T)) (stuck any) {
	defer func() { stuck = recover() }()
	synctest.Test(t, f)
	return nil
}
