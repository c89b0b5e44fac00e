// Herd simulates, in virtual time, what a rolling restart does to a fleet of servers whose clients
// hold streams. It compares lastcall's engine (package policy: the same plans and reconnect slots
// that a server uses) with how other software drains, and counts how many clients come back at
// once.
//
//	go -C bench/herd run . -results ../RESULTS.md -plot herd.svg
//
// prints the tables of bench/RESULTS.md, writes them there and draws the picture beside this file.
// -h lists the flags. Equal flags give equal figures.
//
// # The model
//
// The clients are spread evenly over the replicas, which drain one after the other. A draining
// replica gets no new clients and sends farewells at the moments that its strategy sets. After the
// last one it is away for the time of a restart and then ready again, without a client; then the
// next replica drains. A client leaves the moment it gets its farewell, comes back after a delay
// that depends on its behavior, and gets a replica from the load balancer: any ready one, or the
// one with the fewest clients.
//
// What the model leaves out is listed below the tables in bench/RESULTS.md.
package main
