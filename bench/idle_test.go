package bench

import (
	"flag"
	"net/http"
	"runtime"
	"testing"

	"github.com/lastcall-go/lastcall/bench/pair"
)

var conns = flag.Int("conns", 1000, "how many connections BenchmarkIdle holds open at once; each takes two file descriptors")

// BenchmarkIdle measures what an idle connection costs wrapped more than bare.
func BenchmarkIdle(b *testing.B) {
	b.Run("websocket", func(b *testing.B) {
		message, reply := frame(64, true), len(frame(64, false))
		compareIdle(b, echo, func(tb testing.TB, addr string) {
			p := echoing(tb, addr, message, reply)
			p.ask() // now the handler is in its loop
			p.buf = nil
		})
	})
	b.Run("sse", func(b *testing.B) {
		compareIdle(b, silence, func(tb testing.TB, addr string) {
			p := dial(tb, addr, "GET / HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n")
			p.header(tb, http.StatusOK)
			p.buf = nil
		})
	})
}

// silence is an event stream without events.
var silence = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
})

// compareIdle reports the difference between h wrapped and bare, for each connection.
func compareIdle(b *testing.B, h http.Handler, open func(tb testing.TB, addr string)) {
	var bare, wrapped footprint
	for b.Loop() {
		bare.add(idle(b, h, open))
		wrapped.add(idle(b, graceful(h), open))
	}
	each := float64(b.N * *conns)
	b.ReportMetric(0, "ns/op") // the time is spent on opening connections
	b.ReportMetric((wrapped.heap-bare.heap)/each, "heap-B/conn")
	b.ReportMetric((wrapped.stack-bare.stack)/each, "stack-B/conn")
	b.ReportMetric((wrapped.goroutines-bare.goroutines)/each, "goroutines/conn")
	b.ReportMetric((bare.heap+bare.stack)/each, "bare-B/conn")
	b.ReportMetric(bare.goroutines/each, "bare-goroutines/conn")
}

// idle returns what -conns open connections take of this process.
func idle(tb testing.TB, h http.Handler, open func(tb testing.TB, addr string)) (f footprint) {
	pair.Within(tb, func(tb testing.TB) {
		addr := serve(tb, h)
		open(tb, addr) // the first one pays for what all share
		before := measure()
		for range *conns {
			open(tb, addr)
		}
		after := measure()
		f = footprint{after.heap - before.heap, after.stack - before.stack, after.goroutines - before.goroutines}
	})
	return f
}

// A footprint is bytes of heap and stack, and a number of goroutines.
type footprint struct{ heap, stack, goroutines float64 }

func (f *footprint) add(g footprint) {
	f.heap += g.heap
	f.stack += g.stack
	f.goroutines += g.goroutines
}

func measure() footprint {
	runtime.GC()
	runtime.GC() // the first one leaves what sync.Pools hold
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footprint{float64(m.HeapAlloc), float64(m.StackInuse), float64(runtime.NumGoroutine())}
}
