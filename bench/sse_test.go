package bench

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"github.com/r3labs/sse/v2"

	"github.com/lastcall-go/lastcall/bench/pair"
)

var event = []byte("event: metrics\ndata: {\"goroutines\":1234,\"heap\":56789012,\"open\":345}\n\n")

// A feed has an event stream for each of several peers and writes an event when the peer asks for
// one.
type feed []chan struct{}

func newFeed(testing.TB) feed {
	f := make(feed, peers)
	for i := range f {
		f[i] = make(chan struct{}, 1)
	}
	return f
}

func (f feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i, err := strconv.Atoi(r.FormValue("stream"))
	if err != nil || i < 0 || i >= len(f) {
		http.Error(w, "bench: no such stream", http.StatusNotFound)
		return
	}
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	_ = control.Flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-f[i]:
			_, _ = w.Write(event)
			_ = control.Flush()
		}
	}
}

func (f feed) want(i int) { f[i] <- struct{}{} }

// events is a variant that reads events of a new handler; want makes that send one on its stream i.
func events[H http.Handler](wrap func(http.Handler) http.Handler, make func(testing.TB) H, want func(h H, i int)) pair.Variant {
	return func(tb testing.TB) func(int) {
		h := make(tb)
		addr := serve(tb, wrap(h))
		return inParallel(func(i int) *peer { return listening(tb, addr, i, func(i int) { want(h, i) }) })
	}
}

// listening returns a peer that reads the handler's stream i.
func listening(tb testing.TB, addr string, i int, want func(i int)) *peer {
	p := dial(tb, addr, fmt.Sprintf("GET /?stream=%d HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n", i))
	p.header(tb, http.StatusOK)
	p.prompt = func() { want(i) }
	p.prompt()
	p.reply = p.until(tb, "\n\n\r\n") // the ends of an event and of its chunk
	return p
}

// BenchmarkEvent measures an event over loopback, written and flushed by a plain handler and by
// r3labs.
func BenchmarkEvent(b *testing.B) {
	b.Run("plain", func(b *testing.B) {
		pair.Compare(b, pair.Turn, len(event), events(untouched, newFeed, feed.want), events(graceful, newFeed, feed.want))
	})
	b.Run("r3labs", func(b *testing.B) {
		pair.Compare(b, pair.Turn, len(event), events(untouched, newHub, publish), events(graceful, newHub, publish))
	})
}

// newHub returns an r3labs server with a stream for each peer, without replay, which would keep
// every event.
func newHub(tb testing.TB) *sse.Server {
	s := sse.New()
	tb.Cleanup(s.Close) // after the HTTP server's Close; before it, r3labs would leave a goroutine for each subscriber
	s.AutoReplay = false
	for i := range peers {
		s.CreateStream(strconv.Itoa(i))
	}
	return s
}

var published = &sse.Event{Event: []byte("metrics"), Data: []byte(`{"goroutines":1234,"heap":56789012,"open":345}`)}

func publish(s *sse.Server, i int) {
	s.Publish(strconv.Itoa(i), published)
}
