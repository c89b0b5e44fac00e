package main

import (
	"context"
	"time"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

const (
	replyTimeout = 3 * time.Second // the WebSockets' Timeout, in which their peers reply to the close frame
	mercy        = 1 * time.Second // the Mercy of all streams
	reserve      = 1 * time.Second // what the budget keeps after the last cut
)

// window is the time in which clients are asked to come back.
var window = policy.Window{Min: time.Second, Max: 5 * time.Second}

// newDrainer returns a Drainer as an application would configure it: event streams are canceled
// right after their farewell, WebSockets when their peers have had time to reply. The farewells of
// each of the two rules are evenly spread, and so are both together.
func (c config) newDrainer() *middleware.Drainer {
	rules := &policy.Mux{Default: policy.Rule{
		Spread: c.spread, Timeout: policy.AtOnce, Mercy: mercy, Reconnect: window,
	}}
	rules.Handle("/socket", policy.Rule{Timeout: replyTimeout})
	return &middleware.Drainer{Policy: rules, Budget: policy.Budget{
		Total: c.spread + replyTimeout + mercy + reserve, Reserve: reserve,
	}}
}

// limit returns the time that the drain has.
func (c config) limit(d *middleware.Drainer) time.Duration {
	if c.budget > 0 {
		return min(c.budget, d.Budget.WithDefaults().Total)
	}
	return d.Budget.WithDefaults().Total
}

// A schedule is when the n streams of one route get their farewells, evenly spread over a window,
// and how much later each is canceled and cut. It is computed here without package policy, whose
// own schedule is what is under test.
type schedule struct {
	n                      int
	window, timeout, mercy time.Duration
}

// newSchedule scales the parts of a rule down, all alike, where they add up to more than work. Few
// streams take less than the spread, at 200 a second.
func (c config) newSchedule(n int, timeout, work time.Duration) schedule {
	share := min(1, float64(work)/float64(c.spread+timeout+mercy))
	of := func(t time.Duration) time.Duration { return time.Duration(share * float64(t)) }
	const maxGap = 5 * time.Millisecond
	return schedule{n, min(of(c.spread), time.Duration(n)*maxGap), of(timeout), of(mercy)}
}

// dueAt returns when the k-th farewell is due. A Plan puts it there or up to half a gap later.
func (c schedule) dueAt(k int) time.Duration { return c.window * time.Duration(k) / time.Duration(c.n) }

// schedules returns those of the event streams and of the WebSockets, in the time that the drain
// has.
func (c config) schedules(d *middleware.Drainer) (events, sockets schedule) {
	b := d.Budget.WithDefaults()
	share := float64(c.limit(d)) / float64(b.Total)
	work := time.Duration(share * float64(b.Total-b.Announce-b.Reserve))
	return c.newSchedule(c.events(), policy.AtOnce, work), c.newSchedule(c.sockets(), replyTimeout, work)
}

// measure starts the server and the clients, drains, and collects what both saw.
func (c config) measure(ctx context.Context) (*figures, error) {
	d := c.newDrainer()
	f := &figures{config: c, limit: c.limit(d)}
	f.forEvents, f.forSockets = c.schedules(d)

	// Only what hangs takes longer.
	ctx, cancel := context.WithTimeout(ctx, f.limit+3*hangTimeout)
	defer cancel()
	s, err := startServer(c, d)
	if err != nil {
		return nil, err
	}
	defer s.close()
	clients, err := startClients(ctx, c, s.addr)
	if err != nil {
		return nil, err
	}

	draining, done := context.Background(), func() {}
	f.began = time.Now()
	if c.budget > 0 {
		draining, done = context.WithTimeout(draining, c.budget)
	}
	defer done()
	f.err = d.Shutdown(draining)
	f.took = time.Since(f.began)
	f.report = d.Report()
	f.results, err = clients.results()
	f.cuts = s.stuckCuts()
	return f, err
}
