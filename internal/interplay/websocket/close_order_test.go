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

	"github.com/lastcall-go/lastcall/policy"
)

// A parter is a conn that can send a Close of its own, and then leave the connection to the peer's answer. gws can't: it
// closes at once, so that bare too a browser may see a reset and no clean end.
type parter interface {
	conn
	part(code int, reason string) error
}

func (c gorillaConn) part(code int, reason string) error {
	return c.WriteControl(gorilla.CloseMessage, gorilla.FormatCloseMessage(code, reason), time.Now().Add(patience))
}

// part waits for the peer's Close too.
func (c coderConn) part(code int, reason string) error {
	return c.Close(coder.StatusCode(code), reason)
}

func (c *gobwasConn) part(code int, reason string) error {
	return c.frame(gobwas.NewCloseFrame(append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)))
}

func (c gwsConn) part(code int, reason string) error {
	return c.WriteClose(uint16(code), []byte(reason))
}

// TestRealClientsAndOtherCloses: ours is one Close of several that may be sent. The first that the client sees stands, and
// the end is clean whoever began it.
func TestRealClientsAndOtherCloses(t *testing.T) {
	const times = 5
	own, ours, mine := `^4500 own$`, `^4321 ours$`, `^1000 (mine)?$` // by the handler, us, the client
	tests := []struct {
		name string
		cue  string // the message on which the client closes
		want []string
		play func(c parter, drain func())
	}{
		{"the handler first", "", []string{own}, func(c parter, drain func()) {
			if _, waits := c.(coderConn); waits {
				_ = c.part(4500, "own")
				drain()
				return
			}
			_ = c.part(4500, "own")
			drain()
			c.read()
		}},
		{"the handler and we", "", []string{own, ours}, func(c parter, drain func()) {
			go drain()
			_ = c.part(4500, "own")
			c.read()
		}},
		{"the client and we", "now", []string{mine, ours}, func(c parter, drain func()) {
			_ = c.write([]byte("now"))
			drain()
			c.read()
		}},
		{"all three", "now", []string{own, mine, ours}, func(c parter, drain func()) {
			_ = c.write([]byte("now"))
			go drain()
			_ = c.part(4500, "own")
			c.read()
		}},
	}
	type row struct {
		name string
		want []string
		work atomic.Pointer[shift]
	}
	inFrontOfEach(t, func(t *testing.T, clients clientele, secure bool) {
		var rows []*row
		var urls []string
		for _, l := range libraries {
			if !strings.Contains(" gorilla coder gobwas ", " "+l.name+" ") {
				continue
			}
			for _, test := range tests {
				for i := range times {
					r := &row{name: fmt.Sprintf("%s, %s, %d", l.name, test.name, i), want: test.want}
					rule := policy.Rule{Timeout: patience / 3, Mercy: patience / 3, Farewell: policy.Farewell{Code: 4321, Reason: "ours"}}
					work, url := enter(t, cell{library: l, secure: secure}, rule, func(_ context.Context, c conn) {
						test.play(c.(parter), func() { r.work.Load().drainers[0].Start() })
					})
					r.work.Store(work)
					if test.cue != "" {
						url += "#" + test.cue
					}
					rows, urls = append(rows, r), append(urls, url)
				}
			}
		}
		came := map[string]int{}
		clients(t, urls, func(c verdict) {
			r := rows[c.Row]
			said := fmt.Sprintf("%d %s", c.Close.Code, c.Close.Reason)
			assert.Regexp(t, strings.Join(r.want, "|"), said, r.name)
			assert.True(t, c.Close.WasClean, "%s: %+v", r.name, *c.Close)
			came[said]++
		})
		for _, r := range rows {
			report := drained(t, r.work.Load().drainers[0])
			assert.EqualValues(t, 1, report.Before.Completed+report.Completed+report.Told, "%s: %+v", r.name, report)
		}
		require.Len(t, urls, 3*len(tests)*times)
		t.Logf("%v", came)
	})
}

// TestRealClientsAndDeafHandlers: a handler that neither reads nor listens to its context keeps its client from nothing. The
// answer to our Close is read in its place, and the end is clean, before the handler's.
func TestRealClientsAndDeafHandlers(t *testing.T) {
	inFrontOfEach(t, func(t *testing.T, clients clientele, secure bool) {
		var works []*shift
		var urls []string
		seen := make(chan struct{})
		release := sync.OnceFunc(func() { close(seen) })
		defer release()
		for _, l := range libraries {
			if l.reads || l.proxies > 0 { // which listen in the handler's place
				continue
			}
			rule := policy.Rule{Timeout: time.Second, Mercy: patience / 3, Farewell: policy.Farewell{Code: 4321, Reason: l.name}}
			var work atomic.Pointer[shift]
			begun, url := enter(t, cell{library: l, secure: secure}, rule, func(context.Context, conn) {
				work.Load().drainers[0].Start()
				<-seen
			})
			work.Store(begun)
			works, urls = append(works, begun), append(urls, url)
		}
		ended := 0
		clients(t, urls, func(c verdict) {
			assert.Equal(t, 4321, c.Close.Code, c.Close.Reason)
			assert.True(t, c.Close.WasClean, c.Close.Reason)
			if ended++; ended == len(urls) {
				release()
			}
		})
		require.Equal(t, len(urls), ended)
		for _, work := range works {
			assert.EqualValues(t, 1, drained(t, work.drainers[0]).Told)
		}
	})
}

// TestRealClientsAreRefused: who comes in the middle of a drain never gets a connection, which both clients call 1006.
func TestRealClientsAreRefused(t *testing.T) {
	inFrontOfEach(t, func(t *testing.T, clients clientele, secure bool) {
		work, url := enter(t, cell{library: libraries[0], secure: secure}, policy.Rule{}, func(context.Context, conn) {
			t.Error("served")
		})
		drained(t, work.drainers[0])
		ended := 0
		clients(t, []string{url}, func(c verdict) {
			ended++
			assert.Equal(t, 1006, c.Close.Code)
			assert.Empty(t, c.Close.Reason)
			assert.False(t, c.Close.WasClean)
		})
		assert.Equal(t, 1, ended)
		assert.EqualValues(t, 1, work.drainers[0].Report().Refused)
	})
}
