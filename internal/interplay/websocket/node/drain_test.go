package node

import (
	"context"
	"net/http"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// silent never reads, and writes nothing.
func silent(w http.ResponseWriter, r *http.Request) {
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	<-r.Context().Done()
}

// talkative writes for as long as it may.
func talkative(w http.ResponseWriter, r *http.Request) {
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

// unfinished stays inside a message. It doesn't compress: that would keep all of it back.
func unfinished(w http.ResponseWriter, r *http.Request) {
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

// TestDrain has the client connected to servers that drain. What it makes of the end is what its users see.
func TestDrain(t *testing.T) {
	tests := []struct {
		name    string
		handler http.HandlerFunc
		rule    policy.Rule
		code    int
		reason  string // a pattern
		last    string // likewise
	}{
		{"by default", gorillaEcho, policy.Rule{}, 1012, `^service restart; retry=\d{4}$`, `^$`},
		{"come back", gorillaEcho, policy.Rule{Farewell: policy.ComeBack()}, 1012, `^service restart; retry=\d{4}$`, `^$`},
		{"stay away", gorillaEcho, policy.Rule{Farewell: policy.StayAway()}, 1000, `^closed; do not reconnect$`, `^$`},
		{"going away", gorillaEcho, policy.Rule{Farewell: policy.Farewell{Code: 1001, Reason: "bye"}}, 1001, `^bye$`, `^$`},
		{"try again later", coderEcho, policy.Rule{Farewell: policy.Farewell{Code: 1013}}, 1013, `^service restart; retry=\d{4}$`, `^$`},
		{"a code of one's own", coderEcho, policy.Rule{Farewell: policy.Farewell{Code: 4999, Reason: "é"}}, 4999, `^é$`, `^$`},
		{"a last message", gorillaEcho, policy.Rule{Farewell: policy.Farewell{Message: `{"retry":{retry}}`}}, 1012, `retry`, `^{"retry":\d{4}}$`},
		{"a handler that never reads", silent, policy.Rule{Farewell: policy.Farewell{Message: "last"}}, 1012, `retry`, `^last$`},
		{"a handler that writes", talkative, policy.Rule{Farewell: policy.Farewell{Message: "last"}}, 1012, `retry`, `^last$`},
		{"a handler inside a message", unfinished, policy.Rule{Farewell: policy.Farewell{Message: "last"}}, 1012, `retry`, `^$`},
		{"later", coderEcho, policy.Rule{Grace: 200 * time.Millisecond, Spread: 200 * time.Millisecond}, 1012, `retry`, `^$`},
	}
	args := []string{"drain"}
	drainers := make([]middleware.Drainer, len(tests))
	for i, test := range tests {
		d := &drainers[i]
		test.rule.Timeout, test.rule.Mercy = time.Second, patience/4
		d.Policy, d.Budget.Total = test.rule, patience
		args = append(args, serve(t, middleware.Graceful(d)(test.handler)))
	}
	ended := 0
	client(t, func(l line) {
		if l.Name == "open" {
			for i := range drainers {
				drainers[i].Start()
			}
			return
		}
		ended++
		test := tests[l.Row]
		require.NotNil(t, l.Close, test.name)
		assert.Equal(t, test.code, l.Close.Code, test.name)
		assert.Regexp(t, test.reason, l.Close.Reason, test.name)
		assert.True(t, l.Close.WasClean, test.name)
		assert.Regexp(t, test.last, l.Last, test.name)
	}, args...)
	assert.Equal(t, len(tests), ended)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := range drainers {
		require.NoError(t, drainers[i].Shutdown(ctx), tests[i].name)
		assert.EqualValues(t, 1, drainers[i].Report().Told, tests[i].name)
	}
}
