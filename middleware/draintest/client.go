package draintest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/lastcall-go/lastcall/internal/request"
)

// A client has a request open, and reads what comes.
type client struct {
	route  request.Request
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended; what follows is readable then

	status  int // zero: it got no answer
	header  http.Header
	trailer http.Header
	body    string // a WebSocket's messages, each with a line break after it; of a long one, the end
	before  int    // how many bytes there were before that
	err     error  // how it ended; nil: cleanly. Of a WebSocket, what its last read returned
	closed  bool   // by the drill, which waited no longer
	took    time.Duration
}

// mostBody is how much of a body is kept at most, of a longer one half of that at least.
const mostBody = 32 << 20

// open opens a client of the route, over a connection of its own.
func (tr *trial) open(r request.Request, webSocket bool) *client {
	ctx, cancel := context.WithCancel(context.Background())
	c := &client{route: r, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		began := time.Now()
		if webSocket {
			c.talk(ctx, tr)
		} else {
			c.read(ctx, tr)
		}
		c.took = time.Since(began)
		c.closed = ctx.Err() != nil
	}()
	tr.opened = append(tr.opened, c)
	return c
}

func (c *client) read(ctx context.Context, tr *trial) {
	hc := tr.client(&http.Transport{DialContext: tr.dial, DisableCompression: true})
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := hc.Do(c.route.HTTP(tr.URL).WithContext(ctx))
	if err != nil {
		c.err = err
		return
	}
	defer res.Body.Close()
	c.status, c.header = res.StatusCode, res.Header
	var body []byte
	for piece := make([]byte, 32<<10); err == nil; {
		var n int
		n, err = res.Body.Read(piece)
		if body = append(body, piece[:n]...); len(body) > mostBody {
			c.before += len(body) - mostBody/2
			body = append(body[:0], body[len(body)-mostBody/2:]...)
		}
	}
	if c.body, c.trailer = string(body), res.Trailer; err != io.EOF {
		c.err = err
	}
}

// talk sends the lines of the route's body as text messages, and reads until the end.
func (c *client) talk(ctx context.Context, tr *trial) {
	d := websocket.Dialer{NetDialContext: tr.dial}
	conn, res, err := d.DialContext(ctx, "ws"+strings.TrimPrefix(tr.URL, "http")+c.route.Path, c.route.Header.Clone())
	if res != nil {
		c.status, c.header = res.StatusCode, res.Header
	}
	if err != nil {
		c.err = err
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for line := range strings.Lines(c.route.Body) {
		if c.err = conn.WriteMessage(websocket.TextMessage, []byte(strings.TrimSuffix(line, "\n"))); c.err != nil {
			return
		}
	}
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			c.err = err
			return
		}
		c.body += string(text) + "\n"
	}
}

// end waits for the client's end, and closes it when the time is up.
func (c *client) end(wait time.Duration) {
	await(c.done, wait)
	c.cancel()
	<-c.done
}

// code returns the code of the Close frame that ended a WebSocket, 1005 if it had none, and zero if
// there was no such frame.
func (c *client) code() int {
	var ended *websocket.CloseError
	if errors.As(c.err, &ended) && ended.Code != websocket.CloseAbnormalClosure {
		return ended.Code
	}
	return 0
}

// gotEvents reports whether the answer is an event stream.
func (c *client) gotEvents() bool {
	return strings.HasPrefix(c.header.Get("Content-Type"), "text/event-stream")
}
