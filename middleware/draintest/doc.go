// Package draintest tests in go test that the handlers of a server end well.
//
// A [Server] is a real server under a [middleware.Drainer]. When its test ends it is drained, and
// the test fails if the drain had to cut a response, or if a goroutine is left:
//
//	d := &middleware.Drainer{}
//	srv := draintest.NewServer(t, d, mux)
//	res, err := srv.Client().Get(srv.URL + "/events")
//
// In a testing/synctest bubble its network is in memory, and a drain of 25 s takes milliseconds.
//
// [Drill] does the rest: it opens clients on the routes that it is given, drains at one bad moment
// after the other, and says what went wrong and how to mend it.
//
// Stuck, Slow, Vanish and Delay are faults of clients and machines, for tests of your own.
//
// Nothing here is for a program that serves: the package imports testing.
package draintest
