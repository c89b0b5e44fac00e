package sse

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/launchdarkly/eventsource"
	r3 "github.com/r3labs/sse/v2"
	"github.com/stretchr/testify/assert"
	gosse "github.com/tmaxmax/go-sse"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/sse/r3labs"
)

// A library serves an event stream to any number of clients.
type library struct {
	name  string
	start func(t *testing.T) source
}

// A source is the handler of a library, and what publishes its events.
type source struct {
	http.Handler
	publish func(n int, data string) // nil if the handler makes its own events
	close   func()                   // called when no request is served any more
}

var libraries = []library{
	{"r3labs bound", func(t *testing.T) source {
		h := &r3labs.Handler{Server: newR3labs()}
		return source{h, publishR3labs(h.Server), func() {
			ctx, cancel := context.WithTimeout(context.Background(), harness.Timeout)
			defer cancel()
			assert.NoError(t, h.Close(ctx))
		}}
	}},
	{"r3labs raw", func(*testing.T) source {
		s := newR3labs()
		return source{s, publishR3labs(s), s.Close}
	}},
	{"go-sse", func(t *testing.T) source {
		s := &gosse.Server{}
		return source{s,
			func(n int, data string) {
				m := &gosse.Message{ID: gosse.ID(strconv.Itoa(n))}
				m.AppendData(data)
				assert.NoError(t, s.Publish(m))
			},
			func() { assert.NoError(t, s.Shutdown(context.Background())) }}
	}},
	{"launchdarkly", func(*testing.T) source {
		s := eventsource.NewServer()
		s.BufferSize = 1 << 14 // it drops clients that fall behind
		return source{s.Handler("s"),
			func(n int, data string) { s.Publish([]string{"s"}, plainEvent{n, data}) },
			s.Close}
	}},
	{"by hand", func(*testing.T) source { return source{http.HandlerFunc(writeByHand), nil, func() {}} }},
}

func newR3labs() *r3.Server {
	s := r3.New()
	s.SplitData = true
	s.CreateStream("s")
	return s
}

func publishR3labs(s *r3.Server) func(int, string) {
	return func(_ int, data string) { s.Publish("s", &r3.Event{Data: []byte(data)}) }
}

type plainEvent struct {
	n    int
	data string
}

func (e plainEvent) Id() string    { return strconv.Itoa(e.n) } //nolint:revive // the library's name
func (e plainEvent) Event() string { return "" }
func (e plainEvent) Data() string  { return e.data }

// writeByHand writes its events in the least convenient way: with line ends of all sorts, in pieces
// cut anywhere, some of them flushed.
func writeByHand(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	control := http.NewResponseController(w)
	random := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for n := 0; r.Context().Err() == nil; n++ {
		end := []string{"\n", "\r", "\r\n"}[random.IntN(3)]
		lines := strings.ReplaceAll(payload(n, sizeOf(random)), "\n", end+"data:")
		text := fmt.Sprint(":comment", end, "data: ", lines, end, "id: ", n, end, end)
		for text != "" {
			size := 1 + random.IntN(len(text))
			if _, err := io.WriteString(w, text[:size]); err != nil {
				return
			}
			text = text[size:]
			if random.IntN(2) == 0 && control.Flush() != nil {
				return
			}
		}
		if control.Flush() != nil || !pause(random, r.Context().Done()) {
			return
		}
	}
}

// publishing publishes events of any size at any pace, until the returned function is called.
func (s source) publishing(seed uint64) (stop func()) {
	if s.publish == nil {
		return func() {}
	}
	quit := make(chan struct{})
	var publisher sync.WaitGroup
	publisher.Go(func() {
		random := rand.New(rand.NewPCG(seed, 0))
		for n := 0; pause(random, quit); n++ {
			s.publish(n, payload(n, sizeOf(random)))
		}
	})
	return func() {
		close(quit)
		publisher.Wait()
	}
}

// sizeOf returns the size of an event: mostly small, now and then larger than net/http's buffers.
func sizeOf(r *rand.Rand) int {
	if r.IntN(20) == 0 {
		return r.IntN(40_000)
	}
	return r.IntN(200)
}

// pause waits for a moment, or mostly not at all. It returns false if it was told to stop.
func pause(r *rand.Rand, stop <-chan struct{}) bool {
	select {
	case <-stop:
		return false
	default:
	}
	if r.IntN(3) > 0 {
		runtime.Gosched()
		return true
	}
	t := time.NewTimer(time.Duration(r.IntN(1000)) * time.Microsecond)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-stop:
		return false
	}
}
