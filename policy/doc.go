// Package policy decides when each response of a draining server is told to wind up, cancelled and cut.
//
// A [Rule] says it for one route, a [Mux] says which route has which rule, a [Budget] says how long the whole drain may
// take, and [Check] says at start-up whether the three agree. A [Plan] is the engine: from the responses that a drain
// found it works out the moments of each, with the farewells of a rule on pace and a reconnect slot for every client.
//
// The usual cases have names ([LetFinish], [TellComeBack], [TellStayAway], [CutAtOnce], [LeaveAlone]), so that most tables
// hold no number. Rules and budget may come from a file ([Read]) that is replaced while the server runs ([Swap]), the
// budget from the environment ([FromEnv]), and [Explain] tells which rule each route has and who said so.
//
// The package is pure: it starts no goroutine, reads no clock, holds no socket, writes nothing, and asks for files and
// environment only through what it is given. All times are durations since draining began, and all randomness comes from
// a seed, so one engine runs in a server, in a test on a fake clock and in a simulation. To act at the moments that it
// names is the caller's part.
package policy
