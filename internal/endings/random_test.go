package endings

import (
	"net/http"
	"time"

	"github.com/lastcall-go/lastcall/policy"
)

func (ro *round) of(n int) int {
	ro.mu.Lock()
	defer ro.mu.Unlock()
	return ro.dice.IntN(n)
}

func (ro *round) chance(percent int) bool { return ro.of(100) < percent }

// ms is a random duration. One in three is a multiple of 50 ms, so that much happens at the same
// instant.
func (ro *round) ms(most int) time.Duration {
	if ro.network == nil {
		return time.Duration(ro.of(most*125)) * time.Microsecond
	}
	if ro.chance(33) {
		return time.Duration(ro.of(most/50+1)*50) * time.Millisecond
	}
	return time.Duration(ro.of(most*1000)) * time.Microsecond
}

// least is a duration of so many milliseconds, or an eighth of it.
func (ro *round) least(ms int) time.Duration {
	if ro.network == nil {
		return time.Duration(ms) * time.Millisecond / 8
	}
	return time.Duration(ms) * time.Millisecond
}

func one[T any](ro *round, of ...T) T { return of[ro.of(len(of))] }

func (ro *round) newRule() policy.Rule {
	return policy.Rule{
		Kind:    one(ro, policy.Auto, policy.Auto, policy.Auto, policy.Auto, policy.Finite, policy.Infinite),
		Grace:   one(ro, 0, 0, policy.AtOnce, ro.ms(800), policy.ToTheEnd),
		Spread:  one(ro, 0, 0, ro.ms(500)),
		Timeout: one(ro, 0, policy.AtOnce, ro.ms(100), ro.ms(800)),
		Mercy:   one(ro, 0, policy.AtOnce, ro.ms(100), ro.ms(800)),
		MaxAge:  one(ro, 0, 0, 0, 500*time.Millisecond+ro.ms(2000)),
		Farewell: policy.Farewell{
			Code: one(ro, 0, 0, 0, 1000), Message: one(ro, "", bye),
			Send: one(ro, policy.SendAll, policy.SendAll, policy.SendRetry, policy.SendNothing),
		},
		Ending: one(ro, policy.AutoEnding, policy.AutoEnding, policy.CleanEnding, policy.BrokenEnding),
		Admit:  ro.chance(15),
	}
}

// newExchange makes a random one.
func (ro *round) newExchange(conn int, proto string) *exchange {
	x := &exchange{
		conn: conn, stops: ro.stops, refusal: ro.d.Refusal != nil, noConn: ro.noConn, proto: proto, method: http.MethodGet, speaks: one(ro, "plain", "plain", "plain", "events", "events", "events", "lines", "parts"),
		begins: ro.ms(300), units: 1 + ro.of(20), size: one(ro, 0, 10, 100, 3000), pause: ro.ms(100),
		flush: one(ro, 0, 1, 1, 2), split: ro.chance(30), manner: manner(ro.of(int(manners))), panicsAt: -1,
		listens: ro.chance(15), readFrom: ro.chance(20), status: one(ro, 0, 0, 0, 200, 201),
		middleOut: one(ro, "", "", "", "", "flush", "unwrap", "buffer"), middleIn: one(ro, "", "", "flush"),
	}
	switch {
	case x.speaks != "plain":
		if ro.chance(70) {
			x.units = 200
		}
		x.accept = one(ro, "", "eventsource", "fetch", "go")
		if ro.chance(20) {
			x.method = http.MethodPost
		}
		x.tag = one(ro, policy.Auto, policy.Auto, policy.Auto, policy.Finite, policy.Infinite)
	case proto != "1.0" && ro.chance(25):
		x.upgrade = one(ro, "websocket", "websocket", "tcp")
		if proto == "2" {
			x.upgrade = "websocket"
		}
		x.units, x.closesSelf, x.detached, x.split = one(ro, 3, 200), ro.chance(50), ro.chance(30) && proto != "2", ro.chance(50)
		x.middleOut, x.middleIn, x.readFrom = "", "", false
		if x.size == 3000 {
			x.size = 200
		}
	case ro.chance(20):
		x.method, x.upload, x.slowly = http.MethodPost, 1+ro.of(20000), ro.chance(50)
	default:
		x.length = ro.chance(30)
		if ro.chance(10) {
			x.method = http.MethodHead
		}
	}
	if ro.chance(10) {
		x.panicsAt = ro.of(4)
	}
	x.aborts = ro.chance(50)
	x.encoded = x.upgrade == "" && ro.chance(5)
	if ro.chance(10) {
		x.refine = policy.Rule{MaxAge: ro.ms(2000), Timeout: one(ro, 0, policy.AtOnce, ro.ms(500))}
	}
	if ro.chance(20) {
		x.own = &policy.Farewell{Code: one(ro, 0, 1000, 4001, 1006), Message: one(ro, "", bye), Data: "own",
			Send: one(ro, 0, 0, policy.SendAll, policy.SendRetry, policy.SendNothing)}
		x.ownPanics = ro.chance(20)
	}
	if ro.chance(10) {
		x.chore = &chore{lasts: ro.ms(one(ro, 500, 5000)), ignores: ro.chance(30), panics: ro.chance(10)}
	}
	x.reads.answers = one(ro, 0, 0, ro.ms(300), -1)
	if x.manner == answers && x.units > 20 {
		x.units = 20
	}
	if proto == "1.0" && x.upgrade == "" {
		x.middleOut = ""
	}
	ro.mu.Lock()
	defer ro.mu.Unlock()
	x.id = len(ro.exchanges)
	x.rule, x.real = ro.rules[x.id%len(ro.rules)], ro.network == nil
	ro.exchanges = append(ro.exchanges, x)
	return x
}
