package policy

import "time"

// usualSpread is the Spread of the named rules: long enough that the clients of thousands of
// streams don't all come back at once, short enough to fit into a drain of ten seconds. Few streams
// take less, see [Plan.Begin].
const usualSpread = 5 * time.Second

// LetFinish returns the rule for what ends by itself: downloads, uploads, a language model's
// answer. Such a response is finite even if it looks like a stream, and has as long as the budget
// lasts.
//
// The named rules leave all fields zero that they don't need. To specify more, put a Rule over one:
//
//	policy.Rule{Spread: 10 * time.Second}.Over(policy.TellComeBack())
func LetFinish() Rule { return Rule{Kind: Finite} }

// TellComeBack returns the rule for streams whose clients should connect again, each at its own
// slot: dashboards, chats, feeds. They get the farewell [ComeBack], spread over 5 s, or less where
// there are fewer than 1,000. It takes all that it matches for streams, so it doesn't suit a
// pattern that matches plain pages too.
func TellComeBack() Rule { return streamRule(ComeBack()) }

// TellStayAway returns the rule for streams that are over for good when the server stops: a game's
// table, a call. It is TellComeBack with the farewell [StayAway], spread as well, since an
// EventSource comes back all the same.
func TellStayAway() Rule { return streamRule(StayAway()) }

// CutAtOnce returns the rule for what nobody misses: profiles, debug pages, probes that hang.
// Finite or stream, it is canceled and its connection closed as soon as the drain begins, without
// waiting for a farewell.
func CutAtOnce() Rule {
	return Rule{Grace: AtOnce, Spread: AtOnce, Timeout: AtOnce, Mercy: AtOnce}
}

// LeaveAlone returns the rule for what must not notice the drain, such as a tunnel whose two ends
// look after themselves. It gets no farewell and is not canceled until the last moment that the
// budget leaves for responses, when it is cut. To have it end in order, give it the time for that:
//
//	policy.Rule{Timeout: 2 * time.Second, Mercy: time.Second}.Over(policy.LeaveAlone())
func LeaveAlone() Rule {
	return Rule{Grace: ToTheEnd, Spread: AtOnce, Timeout: AtOnce, Mercy: AtOnce}
}

func streamRule(f Farewell) Rule { return Rule{Kind: Infinite, Spread: usualSpread, Farewell: f} }
