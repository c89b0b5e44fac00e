package main

import (
	"context"
	"fmt"
	"net/http"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/r3labs/sse/v2"

	"github.com/lastcall-go/lastcall/sse/r3labs"
)

const (
	metricsStream         = "metrics"
	dashboardTick         = 100 * time.Millisecond
	dashboardWriteTimeout = 5 * time.Second // for one event
)

// A dashboard publishes figures of this process as an event stream.
type dashboard struct {
	server *sse.Server
	events *r3labs.Handler // serves server's streams
	cancel context.CancelFunc
	done   sync.WaitGroup // the publisher
}

// newDashboard begins to publish. open returns how many responses are open.
func newDashboard(open func() int) *dashboard {
	ctx, cancel := context.WithCancel(context.Background())
	server := sse.New()
	d := &dashboard{server: server, events: &r3labs.Handler{Server: server, Patience: dashboardWriteTimeout}, cancel: cancel}
	d.server.AutoReplay = false // old figures help nobody
	d.server.BufferSize = 1
	d.server.CreateStream(metricsStream)
	d.done.Go(func() { d.publish(ctx, open) })
	return d
}

// close waits for the subscribers to leave, as they have when the server has drained.
func (d *dashboard) close(ctx context.Context) error {
	d.cancel()
	d.done.Wait()
	return d.events.Close(ctx)
}

func (d *dashboard) publish(ctx context.Context, open func() int) {
	tick := time.NewTicker(dashboardTick)
	defer tick.Stop()
	figures := []metrics.Sample{{Name: "/sched/goroutines:goroutines"}, {Name: "/memory/classes/heap/objects:bytes"}}
	for {
		metrics.Read(figures)
		// An event that is dropped because the stream is busy would be old at the next tick anyway.
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
	d.events.ServeHTTP(w, r)
}
