package websocket

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/policy"
)

// TestNoTimeForAMessage drains a handler inside a message under a rule that leaves it next to no time: its own farewell's message
// can't be said, and its Close is.
func TestNoTimeForAMessage(t *testing.T) {
	for range 50 {
		s := newSite(t, libraries[0], false)
		farewell := policy.Farewell{Code: 4001, Message: "last"}
		work := s.begin(policy.Rule{Timeout: time.Millisecond, Mercy: patience, Farewell: farewell}, func(_ context.Context, c conn) {
			_ = c.(fragmenter).fragments(written(200_000), func() bool { return false })
			c.read()
		})
		p := s.dial(t, false)
		_, err := p.br.Peek(1)
		assert.NoError(t, err)
		work.drainers[0].Start()
		e, err := p.listen(isWritten)
		assert.NoError(t, err)
		assert.Equal(t, 4001, e.code)
		_ = p.Close()
		drained(t, work.drainers[0])
	}
}
