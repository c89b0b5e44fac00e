package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// A returning client opens its stream again when that has ended, if real clients of its kind do.
type returning struct {
	route  *route
	ctx    context.Context // ends when stop is called
	cancel context.CancelFunc
	wait   sync.WaitGroup

	mu     sync.Mutex // guards following
	opened time.Time  // when its last stream began
	gaveUp string     // why it doesn't come back
}

// mostPause is the longest that a client waits, even if it is told to come back later.
const mostPause = 2 * time.Second

func (j *judge) follow(r *route, eventSource bool) *returning {
	f := &returning{route: r}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.wait.Go(func() {
		for f.again(j, eventSource) {
		}
	})
	return f
}

// again opens the stream once, and reports whether the client comes back from its end.
func (f *returning) again(j *judge, eventSource bool) bool {
	c := j.open(f.route, eventSource)
	defer c.endBy(time.Time{})
	select {
	case <-c.first:
	case <-f.ctx.Done():
		return false
	}
	if c.status == http.StatusOK || c.status == http.StatusSwitchingProtocols {
		f.mu.Lock()
		f.opened = time.Now()
		f.mu.Unlock()
	}
	select {
	case <-c.done:
	case <-f.ctx.Done():
		return false
	}
	if why := c.staysAway(); why != "" {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.gaveUp = why
		return false
	}
	return !await(f.ctx.Done(), min(c.pause(), mostPause))
}

// staysAway returns why a real client of this kind doesn't come back after this end, empty if it
// does.
func (c *client) staysAway() string {
	switch {
	case c.status == 0: // a closed port or a broken connection is tried again
	case c.route.socket && c.code() == websocket.CloseNormalClosure:
		return "it was closed with code 1000"
	case c.route.socket:
	case c.isEventSource() && (c.status != http.StatusOK || !c.speaksSSE()):
		return fmt.Sprintf("an EventSource gives up for good on status %d", c.status)
	case c.isEventSource():
	case c.status != http.StatusOK && c.status != http.StatusServiceUnavailable:
		return fmt.Sprintf("it was answered with status %d", c.status)
	case c.status == http.StatusOK && c.err == nil:
		return "a client that is no EventSource takes a clean end for the last word"
	}
	return ""
}

// pause returns how long the client waits before it comes back.
func (c *client) pause() time.Duration {
	last := "\n" + c.body.lastEvent()
	if at := strings.LastIndex(last, "\nretry:"); at >= 0 {
		value, _, _ := strings.Cut(last[at+len("\nretry:"):], "\n")
		if ms, err := strconv.Atoi(strings.TrimSpace(value)); err == nil {
			return time.Duration(max(0, min(ms, 1e6))) * time.Millisecond
		}
	}
	return 200 * time.Millisecond
}

// backWithin is how long all clients together have to come back to the next process.
const backWithin = 20 * time.Second

// await waits until the client has come back since then, and ends it.
func (f *returning) await(since, until time.Time) (back bool, why string) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	defer f.stop()
	for {
		f.mu.Lock()
		opened, gaveUp := f.opened, f.gaveUp
		f.mu.Unlock()
		if opened.After(since) {
			return true, ""
		}
		if gaveUp != "" {
			return false, gaveUp
		}
		if time.Now().After(until) {
			return false, fmt.Sprintf("it had not in %v", backWithin)
		}
		<-tick.C
	}
}

// stop ends the client.
func (f *returning) stop() {
	f.cancel()
	f.wait.Wait()
}
