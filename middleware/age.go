package middleware

import (
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// age sees to it that a stream ends by its rule's MaxAge, and that one whose rule
// has none, or none any more, goes on. It must not have been told.
func (c *conductor) age(e *stream.Entry) {
	s, kind := c.steps[e], e.Kind()
	if e.Cancelled() || c.picked[e] != nil && kind == policy.Infinite {
		return
	}
	var number uint64
	if s != nil {
		number = s.age
	}
	if number == 0 {
		number = c.d.ages.Add(1)
	}
	m, ok := e.Rule().AgeMoments(number)
	switch {
	case ok && kind == policy.Infinite && e.Watch():
		s = c.step(e)
		s.age = number
		// Its moment may be over, where the rule came late. The time that follows isn't.
		c.plan(s, kind, after(m, max(e.Began().Sub(c.epoch), c.now()-m.Farewell)))
	case s != nil:
		c.spare(s)
	}
}
