package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
	"github.com/lastcall-go/lastcall/internal/request"
)

// A route is a request, and what it answers while nothing is drained.
type route struct {
	request.Request
	socket bool
	events bool   // an event stream that doesn't end while it is looked at
	ended  bool   // by itself
	same   bool   // it is the same each time
	asMany bool   // so is the number of its messages, of a call
	http2  bool   // its clients speak HTTP/2
	format string // of internal/format, where it is known
	took   time.Duration
	status int
	call   request.Protocol
	end    request.End // as of a client
	body   body
}

// kind is a word for what the route answers.
func (r *route) kind() string {
	if r.socket {
		return "WebSocket"
	}
	name := map[string]string{format.SSE: "event stream", format.Lines: "JSON lines", format.Parts: "multipart"}[r.format]
	switch {
	case r.call != request.NoCall && r.ended:
		return string(r.call) + " call"
	case r.call != request.NoCall:
		return string(r.call) + " stream"
	case r.ended:
		return "answer"
	case name == "":
		return "stream"
	case r.format == format.SSE:
		return name
	}
	return name + " stream"
}

// as returns the request with the header fields of an EventSource, or of another client of event
// streams. Of other routes, and those whose Accept is given, it is as it is.
func (r *route) as(eventSource bool) request.Request {
	if !r.events || r.Header.Get("Accept") != "" {
		return r.Request
	}
	return r.ForEvents(eventSource)
}

// look opens each request twice, and finds out what it answers. It takes no longer than -look, and
// for each route another 2 s to find out whether it is a WebSocket's.
func (j *judge) look(p *process, requests []request.Request) error {
	all := make([]*route, len(requests))
	for i, r := range requests {
		var err error
		if all[i], err = j.newRoute(r); err != nil {
			return err
		}
		if j.isSocket(r) {
			all[i].socket, all[i].http2 = true, false
		}
	}
	first, second := make([]*client, len(all)), make([]*client, len(all))
	for i, r := range all {
		first[i], second[i] = j.open(r, false), j.open(r, false)
	}
	until := time.Now().Add(j.lookFor)
	for i, r := range all {
		c, d := first[i], second[i]
		c.endBy(until)
		d.endBy(until)
		r.ended, r.took, r.status, r.body, r.end = !c.closed, c.ended.Sub(c.began), c.status, c.body, c.end
		r.same = r.body.equals(&d.body) && r.end.Status == d.end.Status
		r.asMany = len(r.end.Messages) == len(d.end.Messages)
		if _, known, _ := format.Recognize(c.header); known && r.body.format != nil {
			r.format = r.body.format.Name()
		}
		r.events = !r.ended && r.Method == http.MethodGet && c.speaksSSE()
	}
	switch failed := slices.ContainsFunc(append(first, second...), (*client).failed); {
	case p.hasEnded() || failed && p.endsNow():
		return fmt.Errorf("the server ended while its routes were looked at: %s", p.how)
	case j.ctx.Err() != nil:
		return errInterrupted
	}
	for i, r := range all {
		for _, c := range []*client{first[i], second[i]} {
			switch {
			case c.status == 0 && c.closed:
				return fmt.Errorf("%s answers nothing in %v", r.Name(), j.lookFor)
			case c.status == 0:
				return fmt.Errorf("%s answers nothing: %v", r.Name(), c.err)
			case r.call != request.NoCall && r.ended && c.end.Status != request.OK && !c.isLongCall():
				return fmt.Errorf("%s fails before the server is told to end: %s", r.Name(), cmp.Or(c.end.Status, fmt.Sprint(c.err)))
			case c.failed() && !r.socket:
				return fmt.Errorf("%s breaks off before the server is told to end: %v", r.Name(), c.err)
			}
		}
	}
	j.routes = all
	return nil
}

// newRoute returns the route of a request. A call of gRPC comes over HTTP/2.
func (j *judge) newRoute(r request.Request) (*route, error) {
	r, protocol, err := r.Call()
	return &route{Request: r, call: protocol, http2: protocol == request.GRPC || j.http2}, err
}

// isSocket asks for a WebSocket, and reports whether the server agrees.
func (j *judge) isSocket(r request.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	c, err := j.dialHTTP1(j.ctx)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	r.Body = ""
	if _, err := io.WriteString(c, r.Wire(j.url.Host, true)); err != nil {
		return false
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	return err == nil && request.IsWebSocket(res)
}
