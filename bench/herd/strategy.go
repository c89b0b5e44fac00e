package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

// A strategy is how a replica drains.
type strategy struct {
	name string
	// plan returns the farewells of a replica's n clients.
	plan func(n int, random *rand.Rand) []farewell
}

// A farewell is when a client has to leave, counted from the start of its replica's drain, and its
// reconnect slot, which may be noSlot.
type farewell struct{ at, slot time.Duration }

// noSlot is the slot of a farewell that names none.
const noSlot time.Duration = -1

// each returns n farewells without slots, at the moments that at returns.
func each(n int, at func(i int) time.Duration) []farewell {
	all := make([]farewell, n)
	for i := range all {
		all[i] = farewell{at(i), noSlot}
	}
	return all
}

// atOnce closes all connections when the server stops, as AnyCable without its Pro version, SignalR
// and most WebSocket libraries do.
func atOnce() strategy {
	return strategy{"all at once", func(n int, _ *rand.Rand) []farewell {
		return each(n, func(int) time.Duration { return 0 })
	}}
}

// The defaults of Phoenix's socket drainer (phoenixframework/phoenix, lib/phoenix/socket.ex and
// pool_supervisor.ex): it drains 10,000 clients at once, sleeps for 2 s and drains the next 10,000.
// Its supervisor kills it after 30 s, when all that are left are closed with the endpoint.
const (
	phoenixBatch    = 10_000
	phoenixInterval = 2 * time.Second
	phoenixShutdown = 30 * time.Second
)

func batches(size int, interval, shutdown time.Duration) strategy {
	name := fmt.Sprintf("Phoenix: %s every %s", thousands(size), short(interval))
	return strategy{name, func(n int, _ *rand.Rand) []farewell {
		return each(n, func(i int) time.Duration { return min(time.Duration(i/size)*interval, shutdown) })
	}}
}

// AnyCable Pro's slow drain by its documentation (docs/configuration.md, "Slow drain mode"):
// disconnects are spread over slightly less than the shutdown timeout, 24.7 s in the example there,
// and are at most 500 ms apart.
const (
	anycablePeriod = 24700 * time.Millisecond
	anycableGap    = 500 * time.Millisecond
)

func slowDrain(period, gap time.Duration) strategy {
	name := fmt.Sprintf("AnyCable Pro: over %s", short(period))
	return strategy{name, func(n int, _ *rand.Rand) []farewell {
		apart := min(period/time.Duration(max(n, 1)), gap)
		return each(n, func(i int) time.Duration { return time.Duration(i) * apart })
	}}
}

// The defaults of NATS's lame duck mode (nats-io/nats-server, lameDuckMode in server/server.go): it
// waits for 10 s, so that servers that drain at the same time don't get each other's clients, and
// closes one client after the other in the rest of 2 min. After each it sleeps for a random part of
// the even interval, which is at most 1 s, but at least half of it. That is five eighths on
// average, so it ends early. The simulation leaves out the batches that it makes of more clients
// than there are nanoseconds.
const (
	natsDuration = 2 * time.Minute
	natsGrace    = 10 * time.Second
)

func lameDuck(duration, grace time.Duration) strategy {
	name := fmt.Sprintf("NATS: after %s, over %s at most", short(grace), short(duration-grace))
	return strategy{name, func(n int, random *rand.Rand) []farewell {
		apart := min((duration-grace)/time.Duration(max(n, 1)), time.Second)
		at := grace
		return each(n, func(int) time.Duration {
			now := at
			at += max(time.Duration(random.Int64N(max(1, int64(apart)))), apart/2)
			return now
		})
	}}
}

// lastcall is lastcall's own engine under the given rule, with a budget that has room for it.
func lastcall(r policy.Rule) strategy {
	name := fmt.Sprintf("lastcall: over %s", short(r.Spread))
	if r.Reconnect != (policy.Window{}) {
		name += fmt.Sprintf(", slots of %s to %s", short(r.Reconnect.Min), short(r.Reconnect.Max))
	}
	b := budget(r)
	work := b.Total - b.Reserve
	return strategy{name, func(n int, random *rand.Rand) []farewell {
		all := make([]farewell, n)
		streams := slices.Repeat([]policy.Subject{{Rule: &r, Kind: policy.Infinite}}, n)
		for i, m := range policy.NewPlan(work, random.Uint64()).Begin(streams) {
			all[i] = farewell{m.Farewell, m.Retry}
		}
		return all
	}}
}

// usualEnd is the Timeout and the Mercy of a rule that leaves both zero.
const usualEnd = 3*time.Second + 1*time.Second

// budget returns a budget that has room for r.
func budget(r policy.Rule) policy.Budget {
	const reserve = 2 * time.Second // the most that a Budget reserves by default
	return policy.Budget{Total: r.Spread + usualEnd + reserve}.WithDefaults()
}
