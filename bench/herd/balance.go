package main

import "math/rand/v2"

// A balance is how the load balancer chooses among the replicas that are ready.
type balance string

const (
	// atRandom chooses each with equal chance, as a Kubernetes Service does (kube-proxy in iptables
	// mode). A replica that has just come back gets no more than its share, so that the fleet
	// becomes less and less even while it is restarted.
	atRandom balance = "random"
	// leastLoaded chooses the one with the fewest clients, the first of equals. All clients that
	// leave a replica go to the one that has come back before it: hardly any is moved twice, and
	// one replica takes the whole peak.
	leastLoaded balance = "least"
)

// choose returns the index of a replica other than out. clients are those of each replica.
func (b balance) choose(clients [][]uint32, out int, random *rand.Rand) int {
	if b == leastLoaded {
		least := noReplica
		for r, of := range clients {
			if r != out && (least == noReplica || len(of) < len(clients[least])) {
				least = r
			}
		}
		return least
	}
	if out == noReplica {
		return random.IntN(len(clients))
	}
	r := random.IntN(len(clients) - 1)
	if r >= out {
		r++
	}
	return r
}
