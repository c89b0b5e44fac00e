package policy

import "time"

// usualSpread paces the farewells of the named rules: long enough that 1,000 streams and more don't come back as one
// herd, short enough to fit into a drain of ten seconds. Fewer streams are told sooner, see [Plan.Begin].
const usualSpread = 5 * time.Second

// LetFinish is the rule for what ends by itself: downloads, uploads, a language model's answer. It is finite, whatever
// it looks like, and has as long as the budget lasts.
//
// The named rules set no number that a user would have to know about. To say more, lay a Rule over one:
//
//	policy.Rule{Spread: 10 * time.Second}.Over(policy.TellComeBack())
func LetFinish() Rule { return Rule{Kind: Finite} }

// TellComeBack is the rule for streams whose clients should connect again, each at its own slot: dashboards, chats,
// feeds. They are told [ComeBack] on pace over 5 s, or sooner where there are few. What it matches is taken for a
// stream, so a pattern with plain pages behind it should not have it.
func TellComeBack() Rule { return tell(ComeBack()) }

// TellStayAway is the rule for streams that are over for good when the server stops: a game's table, a call. It is
// TellComeBack with the farewell [StayAway]. It keeps to the pace too, since an EventSource comes back all the same.
func TellStayAway() Rule { return tell(StayAway()) }

// CutAtOnce is the rule for what nobody misses: profiles, debug pages, probes that hang. Finite or stream, its context is
// cancelled and its connection closed as soon as draining begins, and no farewell is waited for.
func CutAtOnce() Rule {
	return Rule{Grace: AtOnce, Spread: AtOnce, Timeout: AtOnce, Mercy: AtOnce}
}

// LeaveAlone is the rule for what must not hear of the drain, such as a tunnel whose two ends look after themselves: until
// the last moment of the budget's Work it is neither told nor cancelled, and then it is cut. To have it part in order at
// the end, give it the time for that:
//
//	policy.Rule{Timeout: 2 * time.Second, Mercy: time.Second}.Over(policy.LeaveAlone())
func LeaveAlone() Rule {
	return Rule{Grace: ToTheEnd, Spread: AtOnce, Timeout: AtOnce, Mercy: AtOnce}
}

func tell(f Farewell) Rule { return Rule{Kind: Infinite, Spread: usualSpread, Farewell: f} }
