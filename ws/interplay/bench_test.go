package interplay

import (
	"context"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gobwas "github.com/gobwas/ws"
	gorilla "github.com/gorilla/websocket"
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

// BenchmarkEcho compares echoes under lastcall with bare ones over loopback, as package bench does: in sittings, for each of
// which both have new connections and several turns of some milliseconds. ratio is bare time over wrapped time, the median
// of all sittings, and cpu-ratio the same of the CPU time of this process, which others on the machine disturb less. An
// iteration is a sitting:
//
//	go test -run '^$' -bench Echo -benchtime 50x
func BenchmarkEcho(b *testing.B) {
	for _, e := range echoes {
		for _, size := range sizes {
			b.Run(e.name+"/"+size.name, func(b *testing.B) {
				compare(b, size.bytes, e.echo, middleware.Graceful(new(middleware.Drainer))(e.echo))
			})
		}
	}
}

// An echoing is some peers of one echo server, which send a message, wait for its echo, and again.
type echoing struct {
	server  *httptest.Server
	peers   []*peer
	message []byte
	answer  int
}

func newEchoing(b *testing.B, h http.Handler, size int) *echoing {
	message := clientFrame(true, opBinary, make([]byte, size))
	e := &echoing{server: httptest.NewServer(h), message: message, answer: len(message) - 4} // the answer has no mask
	for range 8 {                                                                            // enough to keep every core at work
		p := dial(b, e.server.Listener.Addr().String(), false)
		require.NoError(b, p.SetDeadline(time.Time{}))
		e.peers = append(e.peers, p)
	}
	return e
}

func (e *echoing) close() {
	for _, p := range e.peers {
		_ = p.Close()
	}
	e.server.Close()
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

// A cost is what turns have taken.
type cost struct {
	took, cpu time.Duration
	allocs    uint64
}

// turn is echo, measured. The collector works before it, not in it.
func (e *echoing) turn(n int) (c cost) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began, cpu := time.Now(), cpuTime()
	e.echo(n)
	c.took, c.cpu = time.Since(began), cpuTime()-cpu
	runtime.ReadMemStats(&after)
	c.allocs = after.Mallocs - before.Mallocs
	return c
}

func (c *cost) add(d cost) {
	c.took += d.took
	c.cpu += d.cpu
	c.allocs += d.allocs
}

// cpuTime is what this process has used, both ends included. Other processes don't show in it.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func compare(b *testing.B, size int, bare, wrapped http.Handler) {
	const turn, rounds = 20 * time.Millisecond, 4 // long against the wait of a frame's beginning (ws.Conn.Write)
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	n := 16 // messages in a turn
	var all [2]cost
	var ratios, cpuRatios []float64
	for sitting := 0; b.Loop(); sitting++ {
		sides := [2]*echoing{newEchoing(b, bare, size), newEchoing(b, wrapped, size)}
		for began := time.Now(); sitting == 0; began = time.Now() {
			if sides[0].echo(n); time.Since(began) > turn {
				break
			}
			n *= 2
		}
		sides[0].echo(n) // until both are warm
		sides[1].echo(n)
		var here [2]cost
		for round := range 2 * rounds {
			side := (sitting + round + round/2) % 2 // each goes first as often as second
			here[side].add(sides[side].turn(n))
		}
		for i, s := range sides {
			s.close()
			all[i].add(here[i])
		}
		ratios = append(ratios, float64(here[0].took)/float64(here[1].took))
		cpuRatios = append(cpuRatios, float64(here[0].cpu)/float64(here[1].cpu))
	}
	ops := float64(len(ratios) * rounds * n)
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(median(cpuRatios), "cpu-ratio")
	b.ReportMetric(float64(all[1].took)/ops, "ns/op")
	b.ReportMetric(float64(all[0].took)/ops, "bare-ns/op")
	b.ReportMetric(math.Round(float64(all[1].allocs)/ops), "allocs/op")
	b.ReportMetric(math.Round(float64(all[0].allocs)/ops), "bare-allocs/op")
}

func median(v []float64) float64 {
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
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
