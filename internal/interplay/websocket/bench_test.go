package websocket

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gobwas "github.com/gobwas/ws"
	gorilla "github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/bench/pair"
	"github.com/lastcall-go/lastcall/middleware"
)

var sizes = []struct {
	name  string
	bytes int
}{{"64B", 64}, {"4KiB", 4 << 10}, {"64KiB", 64 << 10}, {"1MiB", 1 << 20}}

func coderEcho(w http.ResponseWriter, r *http.Request) {
	c, err := coder.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(-1)
	for {
		kind, p, err := c.Read(context.Background())
		if err != nil || c.Write(context.Background(), kind, p) != nil {
			return
		}
	}
}

func gobwasEcho(w http.ResponseWriter, r *http.Request) {
	c, _, _, err := gobwas.UpgradeHTTP(r, w)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		f, err := gobwas.ReadFrame(c)
		if err != nil || f.Header.OpCode == gobwas.OpClose {
			return
		}
		f = gobwas.UnmaskFrameInPlace(f)
		if gobwas.WriteFrame(c, gobwas.NewFrame(f.Header.OpCode, true, f.Payload)) != nil {
			return
		}
	}
}

func gorillaEcho(w http.ResponseWriter, r *http.Request) {
	c, err := new(gorilla.Upgrader).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		kind, p, err := c.ReadMessage()
		if err != nil || c.WriteMessage(kind, p) != nil {
			return
		}
	}
}

var echoes = []struct {
	name string
	echo http.HandlerFunc
}{{"gorilla", gorillaEcho}, {"coder", coderEcho}, {"gobwas", gobwasEcho}}

// BenchmarkEcho compares echoes under lastcall with bare ones over loopback, as package bench does. An iteration is a sitting:
//
//	go test -run '^$' -bench Echo -benchtime 50x
func BenchmarkEcho(b *testing.B) {
	const turn = 20 * time.Millisecond // long against the wait of a frame's beginning (ws.Conn.Write)
	for _, e := range echoes {
		for _, size := range sizes {
			b.Run(e.name+"/"+size.name, func(b *testing.B) {
				pair.Compare(b, turn, 2*size.bytes, echoing(e.echo, size.bytes), echoing(middleware.Graceful(new(middleware.Drainer))(e.echo), size.bytes))
			})
		}
	}
}

// echoing is some peers of one echo server, which send a message, wait for its echo, and again.
func echoing(h http.Handler, size int) pair.Variant {
	return func(tb testing.TB) func(int) {
		server := httptest.NewServer(h)
		tb.Cleanup(server.Close)
		message := clientFrame(true, opBinary, make([]byte, size))
		var peers [8]*peer // enough to keep every core at work
		for i := range peers {
			peers[i] = dial(tb, server.Listener.Addr().String(), false)
			require.NoError(tb, peers[i].SetDeadline(time.Time{}))
			tb.Cleanup(func() { _ = peers[i].Close() })
		}
		return func(n int) {
			var all sync.WaitGroup
			for i, p := range peers {
				share := n / len(peers)
				if i < n%len(peers) {
					share++
				}
				all.Go(func() { p.echo(share, message) })
			}
			all.Wait()
		}
	}
}

// echo has the message echoed n times. It panics where it can't, since there is nothing to measure any more.
func (p *peer) echo(n int, message []byte) {
	buf := make([]byte, 64<<10)
	for range n {
		if _, err := p.Write(message); err != nil {
			panic(err)
		}
		for left := len(message) - 4; left > 0; { // the answer has no mask
			n, err := p.Conn.Read(buf[:min(left, len(buf))])
			if err != nil {
				panic(err)
			}
			left -= n
		}
	}
}

// BenchmarkIdle is what a connection costs on which nothing happens, over what the same one costs bare.
func BenchmarkIdle(b *testing.B) {
	for _, e := range echoes {
		b.Run(e.name, func(b *testing.B) {
			crowd := number(b, "LASTCALL_CROWD", 2000)
			var heap, stack, goroutines float64
			for b.Loop() {
				bare := idling(b, e.echo, crowd)
				wrapped := idling(b, middleware.Graceful(new(middleware.Drainer))(e.echo), crowd)
				heap += wrapped.heap - bare.heap
				stack += wrapped.stack - bare.stack
				goroutines += wrapped.goroutines - bare.goroutines
			}
			each := float64(b.N * crowd)
			b.ReportMetric(0, "ns/op") // opening them isn't what is measured
			b.ReportMetric(heap/each, "heap-B/conn")
			b.ReportMetric(stack/each, "stack-B/conn")
			b.ReportMetric(goroutines/each, "goroutines/conn")
		})
	}
}

type footprint struct{ heap, stack, goroutines float64 }

func measure() footprint {
	runtime.GC()
	runtime.GC() // the first leaves what pools have held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footprint{float64(m.HeapAlloc), float64(m.StackInuse), float64(runtime.NumGoroutine())}
}

// idling is what the process holds for a crowd of connections, each after one echo.
func idling(b *testing.B, h http.Handler, crowd int) footprint {
	s := httptest.NewServer(h)
	defer s.Close()
	message := clientFrame(true, opText, []byte("hello"))
	var peers []*peer
	arrive := func() {
		p := dial(b, s.Listener.Addr().String(), false)
		peers = append(peers, p)
		require.NoError(b, p.send(message))
		_, err := io.ReadFull(p.br, make([]byte, len(message)-4))
		require.NoError(b, err)
		p.br = nil
	}
	defer func() {
		for _, p := range peers {
			_ = p.Close()
		}
	}()
	arrive() // what the first one makes for all is no part of it
	before := measure()
	for range crowd {
		arrive()
	}
	after := measure()
	return footprint{after.heap - before.heap, after.stack - before.stack, after.goroutines - before.goroutines}
}
