package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

// A strategy is how a replica says goodbye.
type strategy struct {
	name string
	// plan returns what each of a replica's n clients is told.
	plan func(n int, random *rand.Rand) []farewell
}

// A farewell is the moment in which a client is told and has to leave, since its replica's drain began, and the slot that
// it gets, which may be none.
type farewell struct{ at, slot time.Duration }

// none is no slot: the client is left to its habit.
const none time.Duration = -1

// each makes a plan of the moments alone, from the first client's to the last's.
func each(n int, at func(i int) time.Duration) []farewell {
	all := make([]farewell, n)
	for i := range all {
		all[i] = farewell{at(i), none}
	}
	return all
}

// atOnce is what a server does that closes all its connections as it stops: AnyCable without its Pro version, SignalR,
// most WebSocket libraries.
func atOnce() strategy {
	return strategy{"all at once", func(n int, _ *rand.Rand) []farewell {
		return each(n, func(int) time.Duration { return 0 })
	}}
}

// Phoenix's socket drainer, as it comes (phoenixframework/phoenix, lib/phoenix/socket.ex and pool_supervisor.ex): it tells
// 10,000 in one go, sleeps for 2 s, tells the next 10,000; its supervisor kills it after 30 s, and with the endpoint all
// that is left goes.
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

// AnyCable Pro's slow drain, as its documentation tells it (docs/configuration.md, "Slow drain mode"): the disconnects
// are spread over slightly less than the shutdown timeout, 24.7 s in the example there, and are at most 500 ms apart.
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

// NATS's lame duck mode, as it comes (nats-io/nats-server, lameDuckMode in server/server.go): it waits for 10 s, so that
// servers told at the same time don't get each other's clients, and closes one client after the other in the rest of the
// 2 min, with a sleep after each that is drawn from nothing to the even interval, at most 1 s, and at least half of it.
// That is five eighths of the interval on average, so it is done before its time. The batches that it makes of more
// clients than the time has nanoseconds are left out.
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

// lastcall is ours: the engine itself, under a rule and a budget that it fits into.
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

// budget returns one that has room for r.
func budget(r policy.Rule) policy.Budget {
	const reserve = 2 * time.Second // the most that a Budget reserves by default
	return policy.Budget{Total: r.Spread + usualEnd + reserve}.WithDefaults()
}
