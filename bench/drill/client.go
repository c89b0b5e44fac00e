package main

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/lastcall-go/lastcall/internal/request"
	"github.com/lastcall-go/lastcall/sse"
)

// A client has a request open, and reads what comes.
type client struct {
	j      *judge
	route  *route
	req    request.Request
	cancel context.CancelFunc
	first  chan struct{} // closed at the first byte of the body, at a WebSocket's beginning, or at the end
	done   chan struct{} // closed at the end; what follows is readable then
	once   sync.Once

	began, ended time.Time
	sent         time.Time // when the request had been, before an answer came; zero: it wasn't. Not of a WebSocket
	answered     time.Time // when the answer's header had come; zero: there was none
	status       int       // zero: there was no answer
	header       http.Header
	body         body        // not of a WebSocket
	end          request.End // of a call of gRPC or Connect; of one that is too long, none
	err          error       // how it ended; nil: cleanly
	closed       bool        // by the judge, which waited no longer
	inFrame      bool        // a Close frame came within another frame
}

// open opens a client, as one that is an EventSource or as one that is none.
func (j *judge) open(r *route, eventSource bool) *client {
	ctx, cancel := context.WithCancel(context.Background())
	c := &client{j: j, route: r, req: r.as(eventSource), cancel: cancel, first: make(chan struct{}), done: make(chan struct{}), began: time.Now()}
	go func() {
		defer close(c.done)
		defer c.begun()
		if r.socket {
			c.talk(ctx)
		} else {
			c.read(ctx)
		}
		c.ended, c.closed = time.Now(), ctx.Err() != nil
	}()
	return c
}

func (c *client) begun() { c.once.Do(func() { close(c.first) }) }

func (c *client) read(ctx context.Context) {
	t := c.j.transport(c.route)
	defer t.CloseIdleConnections()
	req := c.req.HTTP(c.j.url.String())
	req.GetBody = nil                 // it is not for the transport to send it again
	wrote := make(chan time.Time, 10) // for each time that it is
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) {
		select {
		case wrote <- time.Now():
		default:
		}
	}})
	res, err := t.RoundTrip(req.WithContext(ctx))
	select {
	case c.sent = <-wrote:
	default:
	}
	if err != nil {
		c.err = err
		return
	}
	defer res.Body.Close()
	c.answered = time.Now()
	c.status, c.header, c.body = res.StatusCode, res.Header, newBody(res.Header, c.route.call)
	piece := make([]byte, 32<<10)
	for err == nil {
		var n int
		n, err = res.Body.Read(piece)
		if c.body.add(piece[:n]); n > 0 {
			c.begun()
		}
	}
	if err != io.EOF {
		c.err = err
	}
	if !c.isLongCall() {
		c.end = c.route.call.End(request.Answer{Status: c.status, Header: c.header, Trailer: res.Trailer, Body: string(c.body.head), Err: c.err})
	}
}

func (c *client) talk(ctx context.Context) {
	var limited *conn
	dial := func(ctx context.Context, _, _ string) (_ net.Conn, err error) {
		limited, err = c.j.dialHTTP1(ctx)
		return limited, err
	}
	d := websocket.Dialer{NetDialContext: dial, NetDialTLSContext: dial, HandshakeTimeout: sendWithin}
	conn, res, err := d.DialContext(ctx, "ws"+strings.TrimPrefix(c.j.url.String(), "http")+c.req.Path, c.req.Header.Clone())
	if res != nil {
		c.status, c.header = res.StatusCode, res.Header
	}
	if err != nil {
		c.err = err
		return
	}
	limited.headerHasCome()
	c.answered = time.Now()
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	c.begun()
	for line := range strings.Lines(c.req.Body) {
		_ = conn.SetWriteDeadline(time.Now().Add(sendWithin))
		if c.err = conn.WriteMessage(websocket.TextMessage, []byte(strings.TrimSuffix(line, "\n"))); c.err != nil {
			return
		}
	}
	for c.err == nil {
		var message io.Reader
		if _, message, c.err = conn.NextReader(); c.err == nil {
			var end lastBytes
			_, c.err = io.Copy(&end, message)
			c.inFrame = c.err != nil && end.isClose()
		}
	}
}

// lastBytes are the last bytes that were written to it: enough for the longest Close frame.
type lastBytes []byte

func (e *lastBytes) Write(p []byte) (int, error) {
	*e = append(*e, p[max(0, len(p)-128):]...)
	*e = (*e)[max(0, len(*e)-128):]
	return len(p), nil
}

// isClose reports whether a message that was broken off ends with a Close frame: this was written
// while the frame before it was still under way.
func (e lastBytes) isClose() bool {
	for size := 2; size <= 125 && size+2 <= len(e); size++ {
		frame := e[len(e)-size-2:]
		code := binary.BigEndian.Uint16(frame[2:])
		if frame[0] == 0x80|websocket.CloseMessage && int(frame[1]) == size && code >= 1000 && code < 5000 {
			return true
		}
	}
	return false
}

// failed reports whether the client has ended by itself, and not cleanly.
func (c *client) failed() bool {
	select {
	case <-c.done:
		return c.err != nil && !c.closed
	default:
		return false
	}
}

// workedAtAfter is how long after it was sent a request without an answer is taken to be under way.
const workedAtAfter = time.Second

// underWay reports whether the server was working at the request at that time.
func (c *client) underWay(at time.Time) bool {
	return !c.answered.IsZero() && c.answered.Before(at) || !c.sent.IsZero() && at.Sub(c.sent) >= workedAtAfter
}

// endBy waits for the client's end, until then, and closes it.
func (c *client) endBy(until time.Time) {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
	case <-c.j.ctx.Done():
	}
	c.cancel()
	<-c.done
}

// code returns the code of the Close frame that ended a WebSocket, zero if none did.
func (c *client) code() int {
	var ended *websocket.CloseError
	if errors.As(c.err, &ended) && ended.Code != websocket.CloseAbnormalClosure {
		return ended.Code
	}
	return 0
}

// isLongCall reports whether the answer to a call is too long to be read, and isn't judged.
func (c *client) isLongCall() bool { return c.route.call != request.NoCall && c.body.size > mostCall }

func (c *client) isEventSource() bool { return sse.FromEventSource(c.req.HTTP(c.j.url.String())) }

func (c *client) speaksSSE() bool {
	return strings.HasPrefix(c.header.Get("Content-Type"), "text/event-stream")
}

// unanswered reports whether there was a connection, but no answer.
func (c *client) unanswered() bool {
	var op *net.OpError
	return c.status == 0 && c.err != nil && !c.closed && !(errors.As(c.err, &op) && op.Op == "dial")
}
