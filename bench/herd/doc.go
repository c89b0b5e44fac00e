// Herd simulates what a rolling restart does to a fleet of servers whose clients hold streams, in virtual time. It sets
// lastcall's engine (package policy: its plans and its reconnect slots, as a server uses them) beside how others say
// goodbye, and counts how hard the clients come back.
//
//	go -C bench/herd run . -results ../RESULTS.md -plot herd.svg
//
// prints the tables of bench/RESULTS.md, writes them there and draws the picture beside this file. -h lists what can be
// changed. Equal flags give equal figures.
//
// # The model
//
// The clients are spread evenly over the replicas. One replica after the other drains: it is not ready from that moment,
// tells its clients at the moments that its strategy names, ends when the last of them is told, is away for as long as a
// restart takes, and is ready again without a client; then the next one drains. A client leaves the instant it is told,
// comes back after as long as its habit says, and gets a replica from the load balancer, any ready one or the one with the
// fewest clients.
//
// What the model leaves out is listed below the tables in bench/RESULTS.md.
package main
