package main

import (
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

// A scenario is one population of clients behind one load balancer, and the result of each
// strategy.
type scenario struct {
	fleet
	population
	rows []row
}

// A row is the result of one strategy.
type row struct {
	figures
	// first is the connects in each 100 ms of the roll's first minute, all the most in 100 ms of
	// each second until the last client is back.
	first, all []int
}

// firstMinute is the part of a roll that is plotted in detail: a few replicas.
const firstMinute = time.Minute

// phoenix is the index of the row that the others are compared with.
const phoenix = 1

// run rolls the fleet once with each strategy. Other software has its default settings. lastcall is
// run twice: with a Spread as long as Phoenix takes for a replica on average and all else by
// default, so that the two rolls take equally long, and in a short drain with long slots.
func (s *scenario) run() {
	s.roll(atOnce())
	drains := s.roll(batches(phoenixBatch, phoenixInterval, phoenixShutdown))
	s.roll(slowDrain(anycablePeriod, anycableGap))
	s.roll(lameDuck(natsDuration, natsGrace))
	s.roll(lastcall(policy.Rule{Spread: mean(drains)}))
	s.roll(lastcall(policy.Rule{Reconnect: policy.Window{Min: time.Second, Max: 30 * time.Second}}.Over(policy.TellComeBack())))
}

// roll adds the row of a strategy and returns how long each replica's drain took.
func (s *scenario) roll(st strategy) (drains []time.Duration) {
	t := s.fleet.roll(st, s.population)
	end := t.took
	if n := len(t.connects); n > 0 {
		end = max(end, t.connects[n-1].at+1)
	}
	s.rows = append(s.rows, row{
		figures: t.figures(st.name),
		first:   worst(t.connects, window, firstMinute),
		all:     worst(t.connects, time.Second, end),
	})
	return t.drains
}

func mean(of []time.Duration) (mean time.Duration) {
	for _, d := range of {
		mean += d / time.Duration(len(of))
	}
	return mean
}

// plotted is the index of the scenario that is plotted.
const plotted = 3

// scenarios returns each population behind f's balancer, and the mixed one behind the leastLoaded
// one too.
func (f fleet) scenarios() []*scenario {
	var all []*scenario
	for _, c := range []population{allRetryAtOnce, allHonorSlots, allHonor1012, mixed} {
		all = append(all, &scenario{fleet: f, population: c})
	}
	f.balance = leastLoaded
	return append(all, &scenario{fleet: f, population: mixed})
}
