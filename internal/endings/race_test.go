//go:build race

package endings

// raceDetector: with it, Go 1.26 can crash in a bubble where net/http's HTTP/2 sets a deadline
// (SIGSEGV in runtime.(*timer).modify under time.AfterFunc, once in some 200 rounds). HTTP/2 is left
// to the rounds over the loopback then.
const raceDetector = true
