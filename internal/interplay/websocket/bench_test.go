package websocket

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/bench/pair"
	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/internal/interplay/websocket/echo"
	"github.com/lastcall-go/lastcall/middleware"
)

var sizes = []struct {
	name  string
	bytes int
}{{"64B", 64}, {"4KiB", 4 << 10}, {"64KiB", 64 << 10}, {"1MiB", 1 << 20}}

var echoes = []struct {
	name    string
	handler http.HandlerFunc
}{
	{"gorilla", echo.Gorilla(new(gorilla.Upgrader))},
	{"coder", echo.Coder(nil)},
	{"gobwas", echo.Gobwas},
}

// BenchmarkEcho compares echoes under lastcall with bare ones over loopback, as package bench does:
//
//	go test -run '^$' -bench Echo -benchtime 50x ./websocket
func BenchmarkEcho(b *testing.B) {
	// Long in comparison with how long the start of a frame may wait for its rest.
	const turn = 20 * time.Millisecond
	for _, e := range echoes {
		for _, size := range sizes {
			b.Run(e.name+"/"+size.name, func(b *testing.B) {
				pair.Compare(b, turn, 2*size.bytes, echoing(e.handler, size.bytes), echoing(middleware.Graceful(new(middleware.Drainer))(e.handler), size.bytes))
			})
		}
	}
}

// echoing has some peers of one server send a message, wait for its echo, and repeat that.
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

// echo sends a message n times, and waits for the echo each time. It panics if a connection fails,
// since nothing is left to measure.
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

// BenchmarkIdle measures what an idle connection costs under lastcall, beyond what it costs bare.
func BenchmarkIdle(b *testing.B) {
	for _, e := range echoes {
		b.Run(e.name, func(b *testing.B) {
			count := harness.Int(b, "LASTCALL_CROWD", 2000)
			var heap, stack, goroutines float64
			for b.Loop() {
				bare := idling(b, e.handler, count)
				wrapped := idling(b, middleware.Graceful(new(middleware.Drainer))(e.handler), count)
				heap += wrapped.heap - bare.heap
				stack += wrapped.stack - bare.stack
				goroutines += wrapped.goroutines - bare.goroutines
			}
			each := float64(b.N * count)
			b.ReportMetric(0, "ns/op") // opening the connections is not measured
			b.ReportMetric(heap/each, "heap-B/conn")
			b.ReportMetric(stack/each, "stack-B/conn")
			b.ReportMetric(goroutines/each, "goroutines/conn")
		})
	}
}

type footprint struct{ heap, stack, goroutines float64 }

func measure() footprint {
	runtime.GC()
	runtime.GC() // the first keeps what pools have held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footprint{float64(m.HeapAlloc), float64(m.StackInuse), float64(runtime.NumGoroutine())}
}

// idling returns what the process holds for that many connections, each after one echo.
func idling(b *testing.B, h http.Handler, count int) footprint {
	s := httptest.NewServer(h)
	defer s.Close()
	message := clientFrame(true, opText, []byte("hello"))
	var peers []*peer
	connect := func() {
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
	connect() // what is made once, for the first connection, does not count
	before := measure()
	for range count {
		connect()
	}
	after := measure()
	return footprint{after.heap - before.heap, after.stack - before.stack, after.goroutines - before.goroutines}
}
