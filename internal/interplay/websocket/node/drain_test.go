package node

import (
	"net/http"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// idle neither reads nor writes.
func idle(w http.ResponseWriter, r *http.Request) {
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	<-r.Context().Done()
}

// writing writes until its context ends or a write fails.
func writing(w http.ResponseWriter, r *http.Request) {
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for c.WriteMessage(gorilla.TextMessage, make([]byte, 5000)) == nil {
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// insideMessage never ends a message that it has started. It doesn't compress, since the compressor
// would hold the message back.
func insideMessage(w http.ResponseWriter, r *http.Request) {
	c, err := (&gorilla.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	m, err := c.NextWriter(gorilla.TextMessage)
	if err != nil {
		return
	}
	_, _ = m.Write(make([]byte, 100_000))
	_, _, _ = c.ReadMessage()
}

// TestDrain drains servers to which the client is connected, and compares the close events that its
// users get.
func TestDrain(t *testing.T) {
	tests := []struct {
		name    string
		handler http.HandlerFunc
		rule    policy.Rule
		code    int
		reason  string // a pattern
		last    string // a pattern
	}{
		{"by default", gorillaEcho, policy.Rule{}, 1012, `^service restart; retry=\d{4}$`, `^$`},
		{"come back", gorillaEcho, policy.Rule{Farewell: policy.ComeBack()}, 1012, `^service restart; retry=\d{4}$`, `^$`},
		{"stay away", gorillaEcho, policy.Rule{Farewell: policy.StayAway()}, 1000, `^closed; do not reconnect$`, `^$`},
		{"going away", gorillaEcho, policy.Rule{Farewell: policy.Farewell{Code: 1001, Reason: "bye"}}, 1001, `^bye$`, `^$`},
		{"try again later", coderEcho, policy.Rule{Farewell: policy.Farewell{Code: 1013}}, 1013, `^service restart; retry=\d{4}$`, `^$`},
		{"a code of one's own", coderEcho, policy.Rule{Farewell: policy.Farewell{Code: 4999, Reason: "é"}}, 4999, `^é$`, `^$`},
		{"a last message", gorillaEcho, policy.Rule{Farewell: policy.Farewell{Message: `{"retry":{retry}}`}}, 1012, `retry`, `^{"retry":\d{4}}$`},
		{"a handler that never reads", idle, policy.Rule{Farewell: policy.Farewell{Message: "last"}}, 1012, `retry`, `^last$`},
		{"a handler that writes", writing, policy.Rule{Farewell: policy.Farewell{Message: "last"}}, 1012, `retry`, `^last$`},
		{"a handler inside a message", insideMessage, policy.Rule{Farewell: policy.Farewell{Message: "last"}}, 1012, `retry`, `^$`},
		{"later", coderEcho, policy.Rule{Grace: 200 * time.Millisecond, Spread: 200 * time.Millisecond}, 1012, `retry`, `^$`},
	}
	args := []string{"drain"}
	drainers := make([]middleware.Drainer, len(tests))
	for i, test := range tests {
		d := &drainers[i]
		test.rule.Timeout, test.rule.Mercy = time.Second, harness.Timeout/4
		d.Policy, d.Budget.Total = test.rule, harness.Timeout
		args = append(args, serve(t, middleware.Graceful(d)(test.handler)))
	}
	ended := 0
	client.Run(t, func(r Result) {
		if r.Name == "open" {
			for i := range drainers {
				drainers[i].Start()
			}
			return
		}
		ended++
		test := tests[r.Row]
		require.NotNil(t, r.Close, test.name)
		assert.Equal(t, test.code, r.Close.Code, test.name)
		assert.Regexp(t, test.reason, r.Close.Reason, test.name)
		assert.True(t, r.Close.WasClean, test.name)
		assert.Regexp(t, test.last, r.Last, test.name)
	}, args...)
	assert.Equal(t, len(tests), ended)
	for i := range drainers {
		report := harness.Shutdown(t, &drainers[i], tests[i].name)
		assert.EqualValues(t, 1, report.Told, tests[i].name)
	}
}
