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

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

var upgrader = gorilla.Upgrader{ReadBufferSize: 512, WriteBufferSize: 512}

// crowded serves an echo, and a flood to those that ask for it. Its sockets have small buffers: with the usual ones a
// crowd that doesn't read holds gigabytes.
func crowded(t *testing.T, d *middleware.Drainer) (addr string) {
	t.Helper()
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

// arrive connects a peer that has had an answer.
func arrive(t *testing.T, addr, says string) *peer {
	p := dial(t, addr, false)
	require.NoError(t, p.Conn.(*net.TCPConn).SetReadBuffer(4<<10))
	require.NoError(t, p.send(clientFrame(true, opText, []byte(says))))
	_, err := p.br.ReadByte()
	require.NoError(t, err)
	if says != "flood" {
		_, err = p.br.Discard(1 + len(says))
		require.NoError(t, err)
	}
	return p
}

// TestStuckCrowd has a healthy peer wait for its Close beside a crowd of peers that can't or won't end in order. It comes
// as if they weren't there, and each of them has gone when its own rule's time is up.
func TestStuckCrowd(t *testing.T) {
	const slack = time.Second // the figure
	rule := policy.Rule{Timeout: time.Second, Mercy: time.Second}
	d := &middleware.Drainer{Policy: rule}
	addr := crowded(t, d)
	crowd := number(t, "LASTCALL_CROWD", 2000)

	healthy := []*peer{arrive(t, addr, "first")}
	// By turns: in the middle of a frame and never reading again; likewise, but a byte a second; gone without a FIN.
	peers := make([]*peer, crowd)
	var arriving sync.WaitGroup
	for worker := range 8 {
		arriving.Go(func() {
			for i := worker; i < crowd; i += 8 {
				peers[i] = arrive(t, addr, [...]string{"flood", "flood", "stay"}[i%3])
			}
		})
	}
	arriving.Wait()
	defer func() {
		for _, p := range peers {
			_ = p.Close()
		}
	}()
	healthy = append(healthy, arrive(t, addr, "last"))

	over := make(chan struct{})
	var dribbling sync.WaitGroup
	dribbling.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
			}
			for i := 1; i < crowd; i += 3 {
				_, _ = io.ReadFull(peers[i].Conn, make([]byte, 1)) // once it is cut, an error
			}
		}
	})

	began := time.Now()
	d.Start()
	for _, p := range healthy {
		e, err := p.listen(nil)
		assert.NoError(t, err)
		assert.Equal(t, 1012, e.code)
		assert.Less(t, time.Since(began), slack, "its slot is at once")
		_ = p.Close()
	}
	report := drained(t, d)
	close(over)
	dribbling.Wait()
	assert.Less(t, report.Took, rule.Timeout+rule.Mercy+slack)
	assert.EqualValues(t, 2, report.Told)
	silent := crowd / 3
	assert.EqualValues(t, silent, report.Unanswered)
	assert.EqualValues(t, crowd-silent, report.Cut)
	t.Logf("%d stuck peers, drained in %v", crowd, report.Took.Round(time.Millisecond))
}

// TestHostileAnswers has peers answer the Close with what no peer may. Each is bounded by its own rule, and a healthy one
// beside it isn't concerned.
func TestHostileAnswers(t *testing.T) {
	rule := policy.Rule{Timeout: 300 * time.Millisecond, Mercy: 300 * time.Millisecond}
	frame := clientFrame(true, opBinary, []byte("data"))
	for _, test := range []struct {
		name   string
		answer string
		flood  bool
	}{
		{name: "a flood", answer: string(frame), flood: true},
		{name: "a flood of pings", answer: string(clientFrame(true, opPing, nil)), flood: true},
		{name: "a flood of rubbish", answer: "\xff\xff\xff\xff\xff\xff\xff\xff", flood: true},
		{name: "reserved bits", answer: "\xf1\x80keys"},
		{name: "reserved bits in a Close", answer: "\xc8\x80keys"},
		{name: "a reserved opcode", answer: "\x83\x80keys"},
		{name: "an unmasked frame", answer: "\x81\x02hi"},
		{name: "an unmasked Close", answer: "\x88\x00"},
		{name: "a length with its top bit set", answer: "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xffkeys"},
		{name: "a length that never comes", answer: "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffkeys"},
		{name: "half a Close", answer: "\x88\x82key"},
		{name: "a fragmented Close", answer: "\x08\x80keys"},
		{name: "a Close that is too long", answer: "\x88\xfe\x00\x7ekeys" + string(make([]byte, 126))},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := &middleware.Drainer{Policy: rule}
			addr := crowded(t, d)
			hostile, healthy := arrive(t, addr, "hostile"), arrive(t, addr, "healthy")
			defer hostile.Close()
			defer healthy.Close()
			d.Start()
			f, err := readFrame(hostile.br)
			require.NoError(t, err)
			require.Equal(t, byte(opClose), f.opcode)
			_, err = io.WriteString(hostile, test.answer)
			require.NoError(t, err)
			var flooding sync.WaitGroup
			flooding.Go(func() {
				for err := error(nil); test.flood && err == nil; {
					_, err = io.WriteString(hostile, test.answer)
				}
			})
			e, err := healthy.listen(nil)
			assert.NoError(t, err)
			assert.Equal(t, 1012, e.code)
			rest, _ := io.ReadAll(hostile.br) // a reset is all it deserves
			assert.Empty(t, rest)
			report := drained(t, d)
			flooding.Wait()
			assert.EqualValues(t, 1, report.Told)
			assert.EqualValues(t, 1, report.Unanswered)
			assert.Less(t, report.Took, rule.Timeout+rule.Mercy+time.Second)
		})
	}
}

// TestHostileBefore has peers do the same before a drain: their library ends them, and the drain has nothing to do.
func TestHostileBefore(t *testing.T) {
	d := &middleware.Drainer{}
	addr := crowded(t, d)
	for _, words := range []string{"\xf1\x80keys", "\x83\x80keys", "\x81\x02hi", "\x80\x80keys"} {
		p := arrive(t, addr, "hostile")
		_, err := io.WriteString(p, words)
		require.NoError(t, err)
		f, err := readFrame(p.br)
		require.NoError(t, err)
		code, _, err := closing(f.payload)
		require.NoError(t, err)
		assert.Equal(t, gorilla.CloseProtocolError, code, "gorilla's own Close for %x", words)
		_, _ = io.ReadAll(p.br)
		_ = p.Close()
	}
	report := drained(t, d)
	// The client may see its connection closed a moment before the handler has returned, which the drain then finds.
	assert.EqualValues(t, 4, report.Before.All()+report.Completed, "%+v", report)
	assert.Zero(t, report.Told+report.Unanswered+report.Cancelled+report.Cut)
}
