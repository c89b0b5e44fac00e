// Package bench measures what lastcall costs while nothing drains. It holds no
// code but its tests and benchmarks:
//
//	go test -bench . ./bench
//	go test -bench Idle ./bench -conns 9900
//
// What runs over loopback is measured in pairs: the same handler bare and
// wrapped, in one process, in short turns. Whatever else the machine does meets
// both sides alike, so the ratio holds where the absolute figures don't. Such a
// benchmark reports
//
//	ratio           throughput wrapped over bare, the median of all sittings
//	cpu-ratio       the same of this process's CPU time, which strays less
//	ns/op           an operation wrapped; bare-ns/op beside it
//	allocs/op, B/op of the whole process, client included; bare-allocs/op beside it
//
// and its iterations are sittings: new connections, then rounds of many
// operations in which both sides have a turn. A second of them, go test's
// default, tells the ratio to some percent. A hundred do better:
//
//	go test -run '^$' -bench 'Request|File|Event' -benchtime 100x ./bench
//
// Request/json/bare has the same on both sides and shows what a run is worth.
//
// The garbage collector works between the turns, not in them: the time counts
// what allocating costs, and allocs/op and B/op tell what there is to collect.
// The clients write prepared bytes and count the bytes that come back, so that
// most of the work measured is the server's.
//
// How two sides are compared is in package pair below this one. What a drain of
// many does is in the commands there: crowd, for real, and herd, simulated.
//
// The promises on allocations are ordinary tests. Throughput is not: a shared
// machine could fail it for reasons of its own.
package bench
