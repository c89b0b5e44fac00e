package main

import "math/rand/v2"

// A balance is how the load balancer chooses among the replicas that are ready.
type balance string

const (
	// atRandom is each with equal chance, as a Kubernetes Service does (kube-proxy's iptables mode). A replica that has
	// just come back gets no more than its share, so the fleet is more and more uneven as the roll goes on.
	atRandom balance = "random"
	// leastLoaded is the one with the fewest clients, the first of equals. All that leave a replica go to the one that has
	// come back before it, so hardly anybody is moved twice, and all of the herd meets one replica.
	leastLoaded balance = "least"
)

// choose returns a replica other than out, by the clients that each has.
func (b balance) choose(homes [][]uint32, out int, random *rand.Rand) int {
	if b == leastLoaded {
		least := nobody
		for r, home := range homes {
			if r != out && (least == nobody || len(home) < len(homes[least])) {
				least = r
			}
		}
		return least
	}
	if out == nobody {
		return random.IntN(len(homes))
	}
	r := random.IntN(len(homes) - 1)
	if r >= out {
		r++
	}
	return r
}
