// Package bench measures what lastcall costs while nothing drains. It has tests and benchmarks
// only:
//
//	go test -bench . ./bench
//	go test -bench Idle ./bench -conns 9900
//
// What runs over loopback is measured in pairs: the same handler bare and wrapped, in one process,
// in short turns. Other load on the machine affects both sides alike, so that the ratio is reliable
// where the absolute figures are not. Such a benchmark reports
//
//	ratio           throughput wrapped over bare, the median of all rounds
//	cpu-ratio       the same of this process's CPU time, which varies less
//	ns/op           an operation wrapped; bare-ns/op beside it
//	allocs/op, B/op of the whole process, client included; bare-allocs/op beside it
//
// and its iterations are rounds: new connections, then alternating turns of many operations each.
// In one second, go test's default, the ratio is accurate to a few percent; a hundred rounds do
// better:
//
//	go test -run '^$' -bench 'Request|File|Event' -benchtime 100x ./bench
//
// Request/json/bare has the same handler on both sides and shows how accurate a run is.
//
// The garbage collector runs between the turns and not during them: the time includes allocating,
// and allocs/op and B/op show what there is to collect. The clients write prepared bytes and count
// the bytes that come back, so that most of the measured work is the server's.
//
// Package pair in this folder compares the two sides. The commands in this folder measure drains:
// crowd and atonce over loopback, herd in a simulation, drill those of any server.
//
// What a request may allocate is checked by ordinary tests. Throughput is not, since a busy machine
// could fail such a test.
package bench
