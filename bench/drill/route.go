package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/internal/request"
)

// A route is a request, and what it answers while nothing is drained.
type route struct {
	request.Request
	socket bool
	events bool // an event stream that doesn't end while it is looked at
	ended  bool // by itself
	same   bool // it is the same each time
	took   time.Duration
	status int
	body   string
}

// upgrade are the header fields that ask for a WebSocket.
var upgrade = []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: ZHJhaW50ZXN0IGRyYWludA=="}

// kind is a word for what the route answers.
func (r *route) kind() string {
	switch {
	case r.socket:
		return "WebSocket"
	case r.events:
		return "event stream"
	case !r.ended:
		return "stream"
	}
	return "answer"
}

// as returns the request with the header fields of an EventSource, or of another client of event
// streams. Of other routes, and those whose Accept is given, it is as it is.
func (r *route) as(eventSource bool) request.Request {
	req := r.Request
	if !r.events || req.Header.Get("Accept") != "" {
		return req
	}
	req.Header = req.Header.Clone()
	req.Header.Set("Accept", "text/event-stream")
	if eventSource {
		req.Header.Set("Cache-Control", "no-cache")
		req.Header.Set("User-Agent", "EventSource")
	}
	return req
}

// look opens each request twice, and finds out what it answers.
func (j *judge) look(requests []request.Request) error {
	all := make([]*route, len(requests))
	for i, r := range requests {
		all[i] = &route{Request: r}
		all[i].socket = j.isSocket(r)
	}
	first, second := make([]*client, len(all)), make([]*client, len(all))
	for i, r := range all {
		first[i], second[i] = j.open(r, false), j.open(r, false)
	}
	until := time.Now().Add(j.watch)
	for i, r := range all {
		for _, c := range []*client{first[i], second[i]} {
			c.end(time.Until(until))
			if c.status == 0 {
				return fmt.Errorf("%s answers nothing: %v", r.Name(), c.err)
			}
		}
		c := first[i]
		r.ended, r.took, r.status, r.body = !c.closed, c.ended.Sub(c.began), c.status, c.body
		r.same = r.body == second[i].body
		r.events = !r.ended && r.Method == http.MethodGet && c.speaksSSE()
	}
	j.routes = all
	return nil
}

func (j *judge) isSocket(r request.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	c, err := j.dial(context.Background())
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	r.Body = ""
	if _, err := io.WriteString(c, r.Wire("localhost", upgrade...)); err != nil {
		return false
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	return err == nil && res.StatusCode == http.StatusSwitchingProtocols && strings.EqualFold(res.Header.Get("Upgrade"), "websocket")
}
