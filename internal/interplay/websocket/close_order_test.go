package websocket

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gobwas "github.com/gobwas/ws"
	gorilla "github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/internal/interplay/websocket/node"
	"github.com/lastcall-go/lastcall/policy"
)

// A closeSender is a conn that can send a Close and then wait for the peer's answer. gws is none:
// it closes the connection at once, so that a browser may see a reset, also without lastcall.
type closeSender interface {
	conn
	sendClose(code int, reason string) error
}

func (c gorillaConn) sendClose(code int, reason string) error {
	return c.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(code, reason), time.Now().Add(harness.Timeout))
}

// sendClose waits for the peer's Close too.
func (c coderConn) sendClose(code int, reason string) error {
	return c.Close(coder.StatusCode(code), reason)
}

func (c *gobwasConn) sendClose(code int, reason string) error {
	return c.frame(gobwas.NewCloseFrame(append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)))
}

// TestSeveralCloses has the handler, the client and the drain send a Close at about the same time.
// The first that the client sees counts, and the end is clean whoever started it.
func TestSeveralCloses(t *testing.T) {
	const times = 5
	const (
		ofHandler = `^4500 own$`
		ofDrain   = `^4321 ours$`
		ofClient  = `^1000 (mine)?$`
	)
	tests := []struct {
		name string
		when string   // the message on which the client closes
		want []string // patterns, one of which has to match
		// handle is the handler.
		handle func(c closeSender, drain func())
	}{
		{"the handler first", "", []string{ofHandler}, func(c closeSender, drain func()) {
			_ = c.sendClose(4500, "own")
			drain()
			if _, waited := c.(coderConn); !waited {
				c.read()
			}
		}},
		{"the handler and we", "", []string{ofHandler, ofDrain}, func(c closeSender, drain func()) {
			go drain()
			_ = c.sendClose(4500, "own")
			c.read()
		}},
		{"the client and we", "now", []string{ofClient, ofDrain}, func(c closeSender, drain func()) {
			_ = c.write([]byte("now"))
			drain()
			c.read()
		}},
		{"all three", "now", []string{ofHandler, ofClient, ofDrain}, func(c closeSender, drain func()) {
			_ = c.write([]byte("now"))
			go drain()
			_ = c.sendClose(4500, "own")
			c.read()
		}},
	}
	type row struct {
		name    string
		want    []string
		session atomic.Pointer[session]
	}
	forEachClient(t, func(t *testing.T, connect clients, secure bool) {
		var rows []*row
		var urls []string
		for _, l := range libraries {
			if !strings.Contains(" gorilla coder gobwas ", " "+l.name+" ") {
				continue
			}
			for _, test := range tests {
				for i := range times {
					r := &row{name: fmt.Sprintf("%s, %s, %d", l.name, test.name, i), want: test.want}
					rule := policy.Rule{
						Timeout: harness.Timeout / 3, Mercy: harness.Timeout / 3,
						Farewell: policy.Farewell{Code: 4321, Reason: "ours"},
					}
					started, url := startSession(t, cell{library: l, secure: secure}, rule, func(_ context.Context, c conn) {
						test.handle(c.(closeSender), func() { r.session.Load().drainers[0].Start() })
					})
					r.session.Store(started)
					if test.when != "" {
						url += "#" + test.when
					}
					rows, urls = append(rows, r), append(urls, url)
				}
			}
		}
		counts := map[string]int{}
		connect(t, urls, func(result node.Result) {
			r := rows[result.Row]
			got := fmt.Sprintf("%d %s", result.Close.Code, result.Close.Reason)
			assert.Regexp(t, strings.Join(r.want, "|"), got, r.name)
			assert.True(t, result.Close.WasClean, "%s: %+v", r.name, *result.Close)
			counts[got]++
		})
		for _, r := range rows {
			report := harness.Shutdown(t, r.session.Load().drainers[0])
			assert.EqualValues(t, 1, report.Before.Completed+report.Completed+report.Told, "%s: %+v", r.name, report)
		}
		require.Len(t, urls, 3*len(tests)*times)
		t.Logf("%v", counts)
	})
}

// TestCloseWithoutHandler drains handlers that neither read nor look at their context. lastcall
// reads the answer to its Close in their place, and the end is clean, before they return.
func TestCloseWithoutHandler(t *testing.T) {
	forEachClient(t, func(t *testing.T, connect clients, secure bool) {
		var sessions []*session
		var urls []string
		released := make(chan struct{})
		release := sync.OnceFunc(func() { close(released) })
		defer release()
		for _, l := range libraries {
			if l.alwaysReads || l.proxies > 0 { // these read in the handler's place
				continue
			}
			rule := policy.Rule{
				Timeout: time.Second, Mercy: harness.Timeout / 3,
				Farewell: policy.Farewell{Code: 4321, Reason: l.name},
			}
			var current atomic.Pointer[session]
			started, url := startSession(t, cell{library: l, secure: secure}, rule, func(context.Context, conn) {
				current.Load().drainers[0].Start()
				<-released
			})
			current.Store(started)
			sessions, urls = append(sessions, started), append(urls, url)
		}
		ended := 0
		connect(t, urls, func(r node.Result) {
			assert.Equal(t, 4321, r.Close.Code, r.Close.Reason)
			assert.True(t, r.Close.WasClean, r.Close.Reason)
			if ended++; ended == len(urls) {
				release()
			}
		})
		require.Equal(t, len(urls), ended)
		for _, s := range sessions {
			assert.EqualValues(t, 1, harness.Shutdown(t, s.drainers[0]).Told)
		}
	})
}

// TestRefusedHandshake connects to a server that drains. The handshake fails, for which both
// clients report code 1006.
func TestRefusedHandshake(t *testing.T) {
	forEachClient(t, func(t *testing.T, connect clients, secure bool) {
		started, url := startSession(t, cell{library: libraries[0], secure: secure}, policy.Rule{}, func(context.Context, conn) {
			t.Error("served")
		})
		harness.Shutdown(t, started.drainers[0])
		ended := 0
		connect(t, []string{url}, func(r node.Result) {
			ended++
			assert.Equal(t, 1006, r.Close.Code)
			assert.Empty(t, r.Close.Reason)
			assert.False(t, r.Close.WasClean)
		})
		assert.Equal(t, 1, ended)
		assert.EqualValues(t, 1, started.drainers[0].Report().Refused)
	})
}
