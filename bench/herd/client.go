package main

import (
	"math/rand/v2"
	"time"
)

// A habit is how long a client waits before it comes back.
type habit uint8

const (
	// hasty tries again after 10 ms, whatever it is told, as phoenix.js does (the first of its reconnect steps, without
	// jitter: assets/js/phoenix/socket.js in phoenixframework/phoenix).
	hasty habit = iota
	// patient honours close code 1012, which asks for a random delay of 5 s to 30 s (IANA's registry of WebSocket close
	// codes; www.ietf.org/mail-archive/web/hybi/current/msg09670.html).
	patient
	// punctual honours the reconnect slot that it is given. Where it is given none it comes back after 3 s, as Chromium's
	// EventSource does when no server has ever sent it a retry.
	punctual
)

const (
	hastyWait              = 10 * time.Millisecond
	patientMin, patientMax = 5 * time.Second, 30 * time.Second
	punctualWait           = 3 * time.Second
)

// wait is how long a client of this habit stays away after a farewell with that slot, which may be none.
func (h habit) wait(slot time.Duration, random *rand.Rand) time.Duration {
	switch {
	case h == patient:
		return patientMin + time.Duration(random.Int64N(int64(patientMax-patientMin)))
	case h == punctual && slot != none:
		return slot
	case h == punctual:
		return punctualWait
	}
	return hastyWait
}

// A crowd is who the clients are: each has one of its habits, with equal chances.
type crowd struct {
	name string
	of   []habit
}

var (
	allHasty    = crowd{"Clients that retry after 10 ms, whatever they are told", []habit{hasty}}
	allPatient  = crowd{"Clients that honour 1012 with a random delay of 5 s to 30 s", []habit{patient}}
	allPunctual = crowd{"Clients that honour a reconnect slot, and come back after 3 s where they get none", []habit{punctual}}
	mixed       = crowd{"A third each of clients that retry after 10 ms, honour 1012, honour a slot", []habit{hasty, patient, punctual}}
)

// habits draws the habit of each of n clients. A share of them ignores what the others honour, and is hasty.
func (c crowd) habits(n int, ignore float64, random *rand.Rand) []habit {
	all := make([]habit, n)
	for i := range all {
		if random.Float64() >= ignore {
			all[i] = c.of[random.IntN(len(c.of))]
		}
	}
	return all
}
