package main

import (
	"math/rand/v2"
	"time"
)

// A behavior is how long a client waits before it comes back.
type behavior uint8

const (
	// retriesAtOnce is to come back after 10 ms, whatever the farewell says, as phoenix.js does
	// (the first of its reconnect steps, without jitter: assets/js/phoenix/socket.js in
	// phoenixframework/phoenix).
	retriesAtOnce behavior = iota
	// honors1012 is to come back after a random delay of 5 s to 30 s, which close code 1012 asks
	// for (IANA's registry of WebSocket close codes;
	// www.ietf.org/mail-archive/web/hybi/current/msg09670.html).
	honors1012
	// honorsSlot is to come back at the reconnect slot that the farewell names. Without one the
	// client comes back after 3 s, as Chromium's EventSource does when no server has sent it a
	// retry.
	honorsSlot
)

const (
	retryWait        = 10 * time.Millisecond
	min1012, max1012 = 5 * time.Second, 30 * time.Second
	eventSourceWait  = 3 * time.Second
)

// wait returns how long a client stays away after a farewell with that slot, which may be noSlot.
func (b behavior) wait(slot time.Duration, random *rand.Rand) time.Duration {
	switch {
	case b == honors1012:
		return min1012 + time.Duration(random.Int64N(int64(max1012-min1012)))
	case b == honorsSlot && slot != noSlot:
		return slot
	case b == honorsSlot:
		return eventSourceWait
	}
	return retryWait
}

// A population is how the clients behave: each in one of some ways, with equal chances.
type population struct {
	name string
	of   []behavior
}

var (
	allRetryAtOnce = population{"Clients that retry after 10 ms, whatever they are told", []behavior{retriesAtOnce}}
	allHonor1012   = population{"Clients that honor 1012 with a random delay of 5 s to 30 s", []behavior{honors1012}}
	allHonorSlots  = population{"Clients that honor a reconnect slot, and come back after 3 s where they get none", []behavior{honorsSlot}}
	mixed          = population{"A third each of clients that retry after 10 ms, honor 1012, honor a slot", []behavior{retriesAtOnce, honors1012, honorsSlot}}
)

// behaviors draws the behavior of each of n clients. The share ignore of them retries at once
// whatever the population.
func (c population) behaviors(n int, ignore float64, random *rand.Rand) []behavior {
	all := make([]behavior, n)
	for i := range all {
		if random.Float64() >= ignore {
			all[i] = c.of[random.IntN(len(c.of))]
		}
	}
	return all
}
