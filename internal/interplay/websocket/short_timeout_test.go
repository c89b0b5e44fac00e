package websocket

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/policy"
)

// TestTimeoutInsideMessage drains a handler inside a message, under a rule with next to no timeout:
// the farewell's message can't be sent, its Close is.
func TestTimeoutInsideMessage(t *testing.T) {
	for range 50 {
		s := newSite(t, libraries[0], false)
		farewell := policy.Farewell{Code: 4001, Message: "last"}
		rule := policy.Rule{Timeout: time.Millisecond, Mercy: harness.Timeout, Farewell: farewell}
		started := s.start(rule, func(_ context.Context, c conn) {
			_ = c.(fragmenter).fragments(text(200_000), func() bool { return false })
			c.read()
		})
		p := s.dial(t, false)
		_, err := p.br.Peek(1)
		assert.NoError(t, err)
		started.drainers[0].Start()
		e, err := p.readToClose(checkMessage)
		assert.NoError(t, err)
		assert.Equal(t, 4001, e.code)
		_ = p.Close()
		harness.Shutdown(t, started.drainers[0])
	}
}
