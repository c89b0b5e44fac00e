package policy

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"time"
)

// A Policy decides which rule a request has. A [Rule], a [Mux], a [Swap] and a [Func] are policies.
type Policy interface {
	// Rule returns the rule of a request. It is called once per request, before the handler, by
	// many goroutines at once, and must not block.
	//
	// The farewells of streams with equal rules, whatever their Kind, MaxAge, Farewell, Format,
	// Ending and Admit, are spread together. So a policy should have few different rules and not
	// make one up for each request. Of a rule that [Rule.Validate] finds fault with, invalid times
	// count as zero, and a Farewell that can't be sent is replaced by the zero one.
	Rule(*http.Request) Rule
}

// A Rule is how the responses of a route are drained. Under the zero Rule finite responses have as
// long as the budget lasts, and streams get their farewell at once, are canceled 250 ms later, a
// WebSocket 3 s later, and cut 1 s after that.
//
// A Rule is comparable, and is itself a [Policy] that gives every request the same rule.
type Rule struct {
	// Kind of the route's responses. Zero: Auto, by what the handler does.
	Kind Kind
	// Grace is how long a response is left alone once the drain begins. A stream gets its farewell
	// after it; zero: none. A finite response is canceled after it; zero: as long as the budget
	// lasts, [AtOnce]: none. [ToTheEnd] is all the time that the rule's other parts leave.
	Grace time.Duration
	// Spread is the time over which this rule's farewells are evenly spread, at 200 a second or
	// more: 20 streams take 0.1 s, however long it is. Zero: all get them at once. Finite responses
	// ignore it.
	Spread time.Duration
	// Order is which of this rule's streams get their farewells first. Zero: Random.
	Order Order
	// Priority puts the farewells of rules with a higher one before those of rules with a lower
	// one, such as dashboards before payments. It may be negative. The lower ones begin when the
	// last farewell of the higher ones is due, not when those streams have ended, and share the
	// time that is left then. No rule waits for one whose Grace is [ToTheEnd].
	Priority int
	// Timeout is the time from a stream's farewell until it is canceled. Zero: 3 s for a WebSocket,
	// whose peer has to answer the close frame, and 250 ms for any other stream, or what the budget
	// has left; [AtOnce]: none. A handler that doesn't listen to stream.Draining goes on during
	// that time, with its output discarded, and the drain waits; after the cancel its writes fail.
	// A WebSocket's peer has Timeout and Mercy to answer, over HTTP/2 half of the Mercy. Finite
	// responses ignore it.
	Timeout time.Duration
	// Mercy is the time from cancel to cut. Zero: 1 s, or what the budget has left; [AtOnce]: none.
	// However short Timeout and Mercy are, a stream that got a farewell is cut 200 ms behind it at
	// the soonest while the budget lasts, for its client to read that.
	Mercy time.Duration
	// MaxAge is how old a stream may become while nothing drains. Then it gets its farewell, and is
	// canceled and cut by Timeout and Mercy; its client comes back, perhaps elsewhere, and has to
	// authenticate again. Each stream's own age is up to a fifth less, so that streams that began
	// together don't end together. Zero or [ToTheEnd]: any age. Finite responses ignore it.
	MaxAge time.Duration
	// Reconnect is when clients are asked to come back; each gets its own slot. Zero: 1 s to 5 s.
	Reconnect Window
	// Farewell is what streams get before they end. Zero: that of [ComeBack].
	Farewell Farewell
	// Format of the route's bodies, which says where their Farewell goes. Zero: AutoFormat, by the
	// Content-Type. Nothing is written into a body with a Content-Encoding whatever its Format, and
	// a WebSocket has none.
	Format Format
	// Ending is how a stream's connection ends after its farewell. Zero: AutoEnding, as brings its
	// client back, or not if the Farewell says so.
	Ending Ending
	// Admit serves new requests while the server drains, such as the answer that a client posts to
	// a stream which waits for it. They end within the budget, as if they had begun before. Zero:
	// they are refused. No rule over one that admits takes that back.
	Admit bool
}

const (
	// These are what a zero Rule.Timeout and Rule.Mercy stand for where the budget has room. A peer
	// that has to answer its farewell is given time for that, and so is whoever sits between.
	defaultTimeout = 250 * time.Millisecond
	answerTimeout  = 3 * time.Second
	defaultMercy   = 1 * time.Second

	// AtOnce, as any of a Rule's times, is as good as no time. Zero would mean the default, or what
	// another rule specifies.
	AtOnce = time.Nanosecond

	// ToTheEnd, as a Grace, is all the time that the budget leaves beside the rule's Spread,
	// Timeout and Mercy; it always fits. A finite response has that time without it as well, but
	// hears stream.Draining at once; with it only as it is canceled. As a MaxAge it is no limit;
	// zero would mean what another rule specifies.
	ToTheEnd time.Duration = math.MaxInt64
)

// Rule returns r. It ignores the request, which may be nil.
func (r Rule) Rule(*http.Request) Rule { return r }

// Over returns r with its zero fields taken from base, those of the Farewell one by one. Reconnect
// counts as one field, since Min of one window and Max of another may make no window.
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
		Format:    cmp.Or(r.Format, base.Format),
		Ending:    cmp.Or(r.Ending, base.Ending),
		Admit:     r.Admit || base.Admit,
	}
}

// Validate returns all that is wrong with r by itself as one error, or nil: an unknown kind, order,
// format or ending, a time that is negative or so short that its unit must be missing, a window
// that ends before it begins, a farewell that can't be sent. Whether r fits a budget is for
// [Budget.Fit] to report.
func (r Rule) Validate() error { return joinFaults("policy: ", r.faults()) }

func (r Rule) faults() (faults []string) {
	faults = append(faults, kinds.faults(r.Kind)...)
	faults = append(faults, orders.faults(r.Order)...)
	faults = append(faults, formats.faults(r.Format)...)
	faults = append(faults, endings.faults(r.Ending)...)
	for _, part := range []struct {
		name          string
		value         time.Duration
		mayBeToTheEnd bool
	}{
		{"Grace", r.Grace, true}, {"Spread", r.Spread, false}, {"Timeout", r.Timeout, false},
		{"Mercy", r.Mercy, false}, {"MaxAge", r.MaxAge, true},
	} {
		faults = append(faults, timeFaults(part.name, part.value)...)
		if part.value == ToTheEnd && !part.mayBeToTheEnd {
			faults = append(faults, fmt.Sprintf("%s can't be %s; only Grace and MaxAge can", part.name, toTheEnd))
		}
	}
	faults = append(faults, r.Reconnect.faults()...)
	return append(faults, r.Farewell.faults(r.Reconnect)...)
}
