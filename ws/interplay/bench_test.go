package interplay

import (
	"context"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gobwas "github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

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
	c, err := upgrader.Upgrade(w, r, nil)
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
}{{"coder", coderEcho}, {"gobwas", gobwasEcho}}

// BenchmarkEcho compares echoes under lastcall with bare ones over loopback. Both are measured in turns of a few
// milliseconds, by turns; ratio is the median of bare time over wrapped time, cpu-ratio the same of all their CPU time, which
// a busy machine disturbs less.
func BenchmarkEcho(b *testing.B) {
	for _, e := range echoes {
		for _, size := range sizes {
			b.Run(e.name+"/"+size.name, func(b *testing.B) {
				bare := newEchoing(b, e.echo, size.bytes)
				wrapped := newEchoing(b, middleware.Graceful(new(middleware.Drainer))(e.echo), size.bytes)
				compare(b, bare, wrapped)
			})
		}
	}
}

// An echoing is some peers of one echo server, which send a message, wait for its echo, and again.
type echoing struct {
	peers   []*peer
	message []byte
	answer  int
	spent   time.Duration
	cpu     time.Duration
	allocs  uint64
}

func newEchoing(b *testing.B, h http.Handler, size int) *echoing {
	s := httptest.NewServer(h)
	b.Cleanup(s.Close)
	e := &echoing{message: clientFrame(true, opBinary, make([]byte, size)), answer: len(clientFrame(true, opBinary, make([]byte, size))) - 4}
	for range 8 { // enough to keep every core at work
		p := dial(b, s.Listener.Addr().String(), false)
		require.NoError(b, p.SetDeadline(time.Time{}))
		b.Cleanup(func() { _ = p.Close() })
		e.peers = append(e.peers, p)
	}
	return e
}

// echo has n messages echoed.
func (e *echoing) echo(n int) {
	var all sync.WaitGroup
	for i, p := range e.peers {
		share := n / len(e.peers)
		if i < n%len(e.peers) {
			share++
		}
		all.Go(func() {
			buf := make([]byte, 64<<10)
			for range share {
				if _, err := p.Write(e.message); err != nil {
					panic(err) // nothing to measure any more
				}
				for left := e.answer; left > 0; {
					n, err := p.Conn.Read(buf[:min(left, len(buf))])
					if err != nil {
						panic(err)
					}
					left -= n
				}
			}
		})
	}
	all.Wait()
}

// turn is echo, measured.
func (e *echoing) turn(n int) time.Duration {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began, cpu := time.Now(), cpuTime()
	e.echo(n)
	took := time.Since(began)
	e.cpu += cpuTime() - cpu
	runtime.ReadMemStats(&after)
	e.spent += took
	e.allocs += after.Mallocs - before.Mallocs
	return took
}

// cpuTime is what this process has used, both ends and the collector included. Other processes don't show in it.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func compare(b *testing.B, bare, wrapped *echoing) {
	const turn = 5 * time.Millisecond
	n := len(bare.peers)
	for began := time.Now(); ; began = time.Now() {
		bare.echo(n)
		wrapped.echo(n)
		if time.Since(began) > 2*turn {
			break
		}
		n *= 2
	}
	var ratios []float64
	for b.Loop() {
		if len(ratios)%2 == 0 {
			ratios = append(ratios, float64(bare.turn(n))/float64(wrapped.turn(n)))
		} else {
			w := wrapped.turn(n)
			ratios = append(ratios, float64(bare.turn(n))/float64(w))
		}
	}
	b.ReportAllocs()
	slices.Sort(ratios)
	ops := float64(len(ratios) * n)
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
	b.ReportMetric(float64(bare.cpu)/float64(wrapped.cpu), "cpu-ratio")
	b.ReportMetric(float64(wrapped.spent)/ops, "ns/op")
	b.ReportMetric(float64(bare.spent)/ops, "bare-ns/op")
	b.ReportMetric(math.Round(float64(wrapped.allocs)/ops), "allocs/op")
	b.ReportMetric(math.Round(float64(bare.allocs)/ops), "bare-allocs/op")
}

// BenchmarkIdle is what a connection costs on which nothing happens, over what the same one costs bare.
func BenchmarkIdle(b *testing.B) {
	all := append(echoes, struct {
		name string
		echo http.HandlerFunc
	}{"gorilla", gorillaEcho})
	for _, e := range all {
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
