package policy

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"time"
)

// A Policy says which rule a request has. Rule is called once per request, before its handler, by many goroutines at
// once, and must not block. Streams whose rules are equal, but for Kind, MaxAge and Farewell, are paced together, so a
// policy should give out few different rules and not make one up for each request. Of a rule that [Rule.Validate] finds
// fault with, times that can't be count as not given, and a Farewell that can't be sent gives way to the zero one.
type Policy interface{ Rule(*http.Request) Rule }

// A Rule says how the responses of a route are drained. The zero Rule is ready: finite responses have as long as the
// budget lasts, and streams are told at once, cancelled 3 s later and cut 1 s after that.
//
// A Rule is comparable, and is itself a [Policy] that gives every request the same rule.
type Rule struct {
	// Kind of the route's responses; Auto: by what the handler does.
	Kind Kind
	// Grace is how long a response is left alone once draining begins. For a stream it comes before the farewell; zero:
	// none. A finite response is cancelled after it; zero: as long as the budget lasts; [AtOnce]: none. [ToTheEnd] is all
	// the time that the rule's other parts leave.
	Grace time.Duration
	// Spread is the window over which this rule's farewells are paced, at 200 a second or more: 20 streams are told within
	// 0.1 s, whatever it is. Zero: all at once. Finite responses have none.
	Spread time.Duration
	// Order says which of this rule's streams are told first; zero: Random.
	Order Order
	// Priority puts the farewells of rules with a higher one before those of rules with a lower one, which may be below
	// zero: dashboards before payments. The lower ones begin when the last farewell of the higher ones is due, not when
	// those have ended, and share what time is left then. A rule that grants [ToTheEnd] holds nobody up.
	Priority int
	// Timeout is the time from a stream's farewell to its cancel; zero: 3 s or what the budget has left; [AtOnce]: none.
	// A handler that doesn't listen to stream.Draining goes on for as long, with its output swallowed, and so does the
	// drain: AtOnce suits most event streams. A WebSocket's peer has Timeout and Mercy to answer the close
	// frame, over HTTP/2 half of the Mercy. Finite responses have none.
	Timeout time.Duration
	// Mercy is the time from cancel to cut; zero: 1 s or what the budget has left; [AtOnce]: none.
	Mercy time.Duration
	// MaxAge is how old a stream may become while nothing drains: then it is told, cancelled and cut by the Timeout and
	// Mercy above, and its client comes back, elsewhere perhaps, with its credentials looked at anew. Each stream has an age
	// of its own, up to a fifth less, so that those that began together don't end together. Zero, or [ToTheEnd]: any age.
	// Finite responses have none.
	MaxAge time.Duration
	// Reconnect is when clients are asked to come back; each gets a slot of its own; zero: 1 s to 5 s.
	Reconnect Window
	// Farewell is what streams are told.
	Farewell Farewell
}

const (
	// defaultTimeout and defaultMercy are what a zero Rule.Timeout and Rule.Mercy stand for where the
	// budget has room.
	defaultTimeout = 3 * time.Second
	defaultMercy   = 1 * time.Second

	// AtOnce, as any of a Rule's times, is as good as none, where zero would mean the default or what another rule says.
	AtOnce = time.Nanosecond

	// ToTheEnd, as a Grace, is all the time that the budget leaves beside the rule's Spread, Timeout and Mercy. It always
	// fits. A finite response has as long without it, but hears stream.Draining at once; with it only as it is cancelled.
	// As a MaxAge it is no end at all, where zero would mean what another rule says.
	ToTheEnd time.Duration = math.MaxInt64
)

// Rule returns r, whatever the request, which may be nil.
func (r Rule) Rule(*http.Request) Rule { return r }

// Over returns r where it says something, and base where r is zero: field by field, those of the Farewell too.
// Reconnect counts as one field, since half of one window and half of another would make no window.
func (r Rule) Over(base Rule) Rule {
	return Rule{
		Kind:      cmp.Or(r.Kind, base.Kind),
		Grace:     cmp.Or(r.Grace, base.Grace),
		Spread:    cmp.Or(r.Spread, base.Spread),
		Order:     cmp.Or(r.Order, base.Order),
		Priority:  cmp.Or(r.Priority, base.Priority),
		Timeout:   cmp.Or(r.Timeout, base.Timeout),
		Mercy:     cmp.Or(r.Mercy, base.Mercy),
		MaxAge:    cmp.Or(r.MaxAge, base.MaxAge),
		Reconnect: cmp.Or(r.Reconnect, base.Reconnect),
		Farewell:  r.Farewell.over(base.Farewell),
	}
}

// Validate reports all that is wrong with r in itself, joined: an unknown kind or order, a time that is negative or has lost
// its unit, a window that ends before it begins, a farewell that can't be sent. Whether r fits a budget is for [Budget.Fit]
// to say.
func (r Rule) Validate() error {
	return joined("policy: ", r.faults())
}

func (r Rule) faults() (faults []string) {
	if r.Kind > Infinite {
		faults = append(faults, fmt.Sprintf("Kind %d is unknown; use Auto, Finite or Infinite", uint8(r.Kind)))
	}
	if r.Order > IdleFirst {
		faults = append(faults, fmt.Sprintf("Order %d is unknown; use Random, OldestFirst, YoungestFirst or IdleFirst", uint8(r.Order)))
	}
	for _, part := range []struct {
		name  string
		value time.Duration
	}{{"Grace", r.Grace}, {"Spread", r.Spread}, {"Timeout", r.Timeout}, {"Mercy", r.Mercy}, {"MaxAge", r.MaxAge}} {
		faults = append(faults, timeFaults(part.name, part.value)...)
		if part.value == ToTheEnd && part.name != "Grace" && part.name != "MaxAge" {
			faults = append(faults, fmt.Sprintf("%s can't be %s; only Grace and MaxAge can", part.name, toTheEnd))
		}
	}
	faults = append(faults, r.Reconnect.faults()...)
	return append(faults, r.Farewell.faults(r.Reconnect)...)
}
