// Package policy decides when each response of a draining server gets its farewell, is canceled and
// is cut.
//
// A [Rule] sets these times for one route, a [Mux] maps routes to rules, a [Budget] bounds the
// whole drain, and [Check] reports at start-up whether the three agree. A [Plan] is the engine:
// from the responses that a drain found it computes the moments of each, with the farewells of a
// rule spread evenly and a reconnect slot for every client.
//
// The usual cases have names ([LetFinish], [TellComeBack], [TellStayAway], [CutAtOnce],
// [LeaveAlone]), so that most tables need no number. Rules and budget may come from a file ([Read])
// that is replaced while the server runs ([Swap]), and the budget from the environment ([FromEnv]).
// [Explain] reports which rule each route has and where its fields come from.
//
// The package is pure: it starts no goroutine, reads no clock, holds no socket, writes nothing, and
// reads only the files and variables that it is given. A Plan's times are durations since its work
// began and its randomness comes from a seed, so the same engine runs in a server, in a test with a
// fake clock and in a simulation. To act at the moments that it returns is the caller's part.
package policy
