package main

import (
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

// A scene is one crowd behind one balancer, and what each strategy makes of it.
type scene struct {
	fleet
	crowd
	rows []row
}

// A row is a strategy's roll.
type row struct {
	figures
	// near is the connects in each 100 ms of the roll's first moments, far the most in 100 ms in each second of it and of
	// the time until the last client is back.
	near, far []int
}

// near is how much of a roll is looked at closely: a few replicas.
const near = time.Minute

// phoenix is the row that the others are measured by.
const phoenix = 1

// play rolls the fleet once with each strategy. Others come with the settings that they are shipped with. Ours comes
// twice: with all else as by default, over the time that Phoenix takes for a replica on average, so that the two rolls
// are equally long; and in a short drain with long slots, which is what slots are for.
func (s *scene) play() {
	s.roll(atOnce())
	drains := s.roll(batches(phoenixBatch, phoenixInterval, phoenixShutdown))
	s.roll(slowDrain(anycablePeriod, anycableGap))
	s.roll(lameDuck(natsDuration, natsGrace))
	s.roll(lastcall(policy.Rule{Spread: mean(drains)}))
	s.roll(lastcall(policy.Rule{Reconnect: policy.Window{Min: time.Second, Max: 30 * time.Second}}.Over(policy.TellComeBack())))
}

// roll adds a row for st and returns how long each replica's drain took.
func (s *scene) roll(st strategy) (drains []time.Duration) {
	t := s.fleet.roll(st, s.crowd)
	end := t.took
	if n := len(t.connects); n > 0 {
		end = max(end, t.connects[n-1].at+1)
	}
	s.rows = append(s.rows, row{
		figures: t.figures(st.name),
		near:    worst(t.connects, window, near),
		far:     worst(t.connects, time.Second, end),
	})
	return t.drains
}

func mean(of []time.Duration) (mean time.Duration) {
	for _, d := range of {
		mean += d / time.Duration(len(of))
	}
	return mean
}

// drawn is which of the scenes is drawn.
const drawn = 3

// scenes are each crowd behind f's balancer, and the mixed one behind a better balancer too.
func (f fleet) scenes() []*scene {
	var all []*scene
	for _, c := range []crowd{allHasty, allPunctual, allPatient, mixed} {
		all = append(all, &scene{fleet: f, crowd: c})
	}
	f.balance = leastLoaded
	return append(all, &scene{fleet: f, crowd: mixed})
}
