package websocket

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// smallBufferServer starts a server of WebSockets that d drains. It sends back every message; after
// the first message "flood" it writes without end. Its buffers are small: with the usual ones,
// thousands of peers that don't read would hold gigabytes.
func smallBufferServer(t *testing.T, d *middleware.Drainer) (addr string) {
	t.Helper()
	upgrader := gorilla.Upgrader{ReadBufferSize: 512, WriteBufferSize: 512}
	s := httptest.NewUnstartedServer(middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		_, p, err := c.ReadMessage()
		if string(p) == "flood" {
			flood := make([]byte, 64<<10)
			for err == nil {
				err = c.WriteMessage(gorilla.BinaryMessage, flood)
			}
			return
		}
		for err == nil {
			if err = c.WriteMessage(gorilla.TextMessage, p); err == nil {
				_, p, err = c.ReadMessage()
			}
		}
	})))
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		_ = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
		return ctx
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// connect connects a peer with small buffers, sends a message, and waits for the answer.
func connect(t *testing.T, addr, message string) *peer {
	p := dial(t, addr, false)
	require.NoError(t, p.Conn.(*net.TCPConn).SetReadBuffer(4<<10))
	require.NoError(t, p.send(clientFrame(true, opText, []byte(message))))
	_, err := p.br.ReadByte()
	require.NoError(t, err)
	if message != "flood" {
		_, err = p.br.Discard(1 + len(message))
		require.NoError(t, err)
	}
	return p
}

// TestStuckPeers drains healthy peers beside thousands of peers that read nothing, read a byte a
// second, or don't answer. The healthy ones get their Close as if the others weren't there, and
// every other is cut when its own rule's time is up.
func TestStuckPeers(t *testing.T) {
	const slack = time.Second // for a slow machine
	rule := policy.Rule{Timeout: time.Second, Mercy: time.Second}
	d := &middleware.Drainer{Policy: rule}
	addr := smallBufferServer(t, d)
	count := harness.Int(t, "LASTCALL_CROWD", 2000)

	healthy := []*peer{connect(t, addr, "first")}
	// In this order: one inside a frame that reads no more; one inside a frame that reads a byte a
	// second; one that neither reads nor writes.
	peers := make([]*peer, count)
	var connecting sync.WaitGroup
	for first := range 8 {
		connecting.Go(func() {
			for i := first; i < count; i += 8 {
				peers[i] = connect(t, addr, [...]string{"flood", "flood", "stay"}[i%3])
			}
		})
	}
	connecting.Wait()
	defer func() {
		for _, p := range peers {
			_ = p.Close()
		}
	}()
	healthy = append(healthy, connect(t, addr, "last"))

	stop := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			for i := 1; i < count; i += 3 {
				_, _ = io.ReadFull(peers[i].Conn, make([]byte, 1)) // fails once the connection is cut
			}
		}
	})

	started := time.Now()
	d.Start()
	for _, p := range healthy {
		e, err := p.readToClose(nil)
		assert.NoError(t, err)
		assert.Equal(t, 1012, e.code)
		assert.Less(t, time.Since(started), slack, "its farewell is due at once")
		_ = p.Close()
	}
	report := harness.Shutdown(t, d)
	close(stop)
	reading.Wait()
	assert.Less(t, report.Took, rule.Timeout+rule.Mercy+slack)
	assert.EqualValues(t, 2, report.Told)
	unanswered := count / 3
	assert.EqualValues(t, unanswered, report.Unanswered)
	assert.EqualValues(t, count-unanswered, report.Cut)
	t.Logf("%d stuck peers, drained in %v", count, report.Took.Round(time.Millisecond))
}
