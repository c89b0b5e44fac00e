// Package draintest proves that the handlers of a server end well, in go test.
//
// A [Server] is a real server under a [middleware.Drainer]. When its test ends it is drained, and
// the test fails if that had to cut a response, or leaves a goroutine behind:
//
//	d := &middleware.Drainer{}
//	srv := draintest.NewServer(t, d, mux)
//	res, err := srv.Client().Get(srv.URL + "/events")
//
// In a testing/synctest bubble it is a server in memory, whose drain of 25 s takes milliseconds.
//
// [Drill] does the rest: it opens clients on the routes that it is given, drains at one bad moment
// after the other, and says what went wrong and how to mend it.
//
// Stuck, Slow, Vanish and Delay are the faults of peers, for tests of one's own.
//
// Nothing here is for a program that serves: the package imports testing.
package draintest
