package main

import (
	"context"
	"time"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

const (
	answerTimeout = 3 * time.Second // the WebSockets' Timeout, in which their peers answer the close frame
	mercy         = 1 * time.Second // the Mercy of all streams
	reserve       = 1 * time.Second // what the budget keeps behind the last cut
)

// window is when clients are asked to come back.
var window = policy.Window{Min: time.Second, Max: 5 * time.Second}

// newDrainer makes the drainer as a user would: event streams are cancelled right behind their farewell, WebSockets once
// their peers have had time to answer. Two rules have two paces, each of them even, and so is their sum.
func (c config) newDrainer() *middleware.Drainer {
	rules := &policy.Mux{Default: policy.Rule{
		Spread: c.spread, Timeout: policy.AtOnce, Mercy: mercy, Reconnect: window,
	}}
	rules.Handle("/socket", policy.Rule{Timeout: answerTimeout})
	return &middleware.Drainer{Policy: rules, Budget: policy.Budget{
		Total: c.spread + answerTimeout + mercy + reserve, Reserve: reserve,
	}}
}

// limit is the time that the drain is given.
func (c config) limit(d *middleware.Drainer) time.Duration {
	if c.budget > 0 {
		return min(c.budget, d.Budget.WithDefaults().Total)
	}
	return d.Budget.WithDefaults().Total
}

// A course is what one route's rule comes to: its n streams are told at an even pace over a window, and each is cancelled
// and cut that much later. It is worked out here once more, so that the engine isn't held against itself.
type course struct {
	n                      int
	window, timeout, mercy time.Duration
}

// newCourse squeezes a rule into the work that there is, all its parts alike. A few streams are told sooner, at 200 a second.
func (c config) newCourse(n int, timeout, work time.Duration) course {
	share := min(1, float64(work)/float64(c.spread+timeout+mercy))
	of := func(t time.Duration) time.Duration { return time.Duration(share * float64(t)) }
	const maxGap = 5 * time.Millisecond
	return course{n, min(of(c.spread), time.Duration(n)*maxGap), of(timeout), of(mercy)}
}

// place is where the k-th farewell begins to be due. The engine puts it there or up to half a gap later.
func (c course) place(k int) time.Duration { return c.window * time.Duration(k) / time.Duration(c.n) }

// courses are those of the event streams and of the WebSockets, in the time that the drain is given.
func (c config) courses(d *middleware.Drainer) (events, sockets course) {
	b := d.Budget.WithDefaults()
	share := float64(c.limit(d)) / float64(b.Total)
	work := time.Duration(share * float64(b.Total-b.Announce-b.Reserve))
	return c.newCourse(c.events(), policy.AtOnce, work), c.newCourse(c.sockets(), answerTimeout, work)
}

// gather does it all: serve, let the clients in, drain, and hear what they saw.
func (c config) gather(ctx context.Context) (*figures, error) {
	d := c.newDrainer()
	f := &figures{config: c, limit: c.limit(d)}
	f.forEvents, f.forSockets = c.courses(d)

	// Nothing takes longer than this but what hangs.
	ctx, cancel := context.WithTimeout(ctx, f.limit+3*patience)
	defer cancel()
	s, err := serve(c, d)
	if err != nil {
		return nil, err
	}
	defer s.close()
	guests, err := invite(ctx, c, s.addr)
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
	f.seen, err = guests.leave()
	f.cuts = s.cutOff()
	return f, err
}
