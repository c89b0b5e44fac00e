package main

import (
	"context"
	"fmt"
	"net/http"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/r3labs/sse/v2"
)

const (
	metricsStream     = "metrics"
	dashboardTick     = 100 * time.Millisecond
	dashboardPatience = 5 * time.Second // for one event to get out
)

// A dashboard publishes figures of this process to everybody who looks.
type dashboard struct {
	server *sse.Server
	cancel context.CancelFunc
	done   sync.WaitGroup // the publisher
}

// newDashboard begins to publish. open tells how many responses are open.
func newDashboard(open func() int) *dashboard {
	ctx, cancel := context.WithCancel(context.Background())
	d := &dashboard{server: sse.New(), cancel: cancel}
	d.server.AutoReplay = false // yesterday's figures help nobody
	d.server.BufferSize = 1
	d.server.CreateStream(metricsStream)
	d.done.Go(func() { d.publish(ctx, open) })
	return d
}

// close must come when no handler is running any more: a subscriber that leaves after the library's Close waits for ever
// for somebody to take note.
func (d *dashboard) close() {
	d.cancel()
	d.done.Wait()
	d.server.Close()
}

func (d *dashboard) publish(ctx context.Context, open func() int) {
	tick := time.NewTicker(dashboardTick)
	defer tick.Stop()
	figures := []metrics.Sample{{Name: "/sched/goroutines:goroutines"}, {Name: "/memory/classes/heap/objects:bytes"}}
	for {
		metrics.Read(figures)
		// What finds the stream busy is old at the next tick anyway.
		d.server.TryPublish(metricsStream, &sse.Event{Data: fmt.Appendf(nil,
			`{"goroutines":%d,"heap":%d,"open":%d}`, figures[0].Value.Uint64(), figures[1].Value.Uint64(), open())})
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (d *dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if name := r.URL.Query().Get("stream"); name != metricsStream {
		http.Error(w, fmt.Sprintf("live: stream=%q: the only stream is %q", name, metricsStream), http.StatusNotFound)
		return
	}
	// Nothing is replayed, and the library would refuse an id that isn't a number, which a browser never forgives.
	r.Header.Del("Last-Event-ID")
	d.server.ServeHTTP(prompt{w, http.NewResponseController(w)}, r)
}

// prompt gives each event a limited time to get out. The library hands events to one subscriber after the other, so that
// without it a single one who stops reading would freeze the dashboard for all.
type prompt struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (p prompt) Flush() {
	_ = p.control.SetWriteDeadline(time.Now().Add(dashboardPatience))
	_ = p.control.Flush() // an error also ends the request's context, at which the library lets go
}

func (p prompt) Unwrap() http.ResponseWriter { return p.ResponseWriter }
