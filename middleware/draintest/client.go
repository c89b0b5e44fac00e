package draintest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/lastcall-go/lastcall/internal/request"
)

// A visitor is a client of one route, and what it has seen.
type visitor struct {
	route  request.Request
	dial   dialFunc
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended; what follows is readable then

	status  int // zero: it got no answer
	header  http.Header
	trailer http.Header
	body    string // a WebSocket's messages, each with a line break behind it; of a long one, the end
	before  int    // how many bytes there were before that
	err     error  // how it ended; nil: cleanly. Of a WebSocket, what its last read returned
	closed  bool   // by the drill, which waited no longer
	took    time.Duration
}

// mostBody is how much of a body is kept at most, of a longer one half of that at least.
const mostBody = 32 << 20

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// visit opens a client of s on the route, over connections of its own.
func visit(s *Server, dial dialFunc, r request.Request, socket bool) *visitor {
	ctx, cancel := context.WithCancel(context.Background())
	v := &visitor{route: r, dial: dial, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(v.done)
		began := time.Now()
		if socket {
			v.talk(ctx, s)
		} else {
			v.read(ctx, s)
		}
		v.took = time.Since(began)
		v.closed = ctx.Err() != nil
	}()
	return v
}

func (v *visitor) read(ctx context.Context, s *Server) {
	client := s.client(&http.Transport{DialContext: v.dial, DisableCompression: true})
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(v.route.HTTP(s.URL).WithContext(ctx))
	if err != nil {
		v.err = err
		return
	}
	defer res.Body.Close()
	v.status, v.header = res.StatusCode, res.Header
	var body []byte
	for piece := make([]byte, 32<<10); err == nil; {
		var n int
		n, err = res.Body.Read(piece)
		if body = append(body, piece[:n]...); len(body) > mostBody {
			v.before += len(body) - mostBody/2
			body = append(body[:0], body[len(body)-mostBody/2:]...)
		}
	}
	if v.body, v.trailer = string(body), res.Trailer; err != io.EOF {
		v.err = err
	}
}

// talk sends the lines of the route's body as text messages, and reads until the end.
func (v *visitor) talk(ctx context.Context, s *Server) {
	d := websocket.Dialer{NetDialContext: v.dial}
	header := v.route.Header.Clone()
	c, res, err := d.DialContext(ctx, "ws"+strings.TrimPrefix(s.URL, "http")+v.route.Path, header)
	if res != nil {
		v.status, v.header = res.StatusCode, res.Header
	}
	if err != nil {
		v.err = err
		return
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	for line := range strings.Lines(v.route.Body) {
		if v.err = c.WriteMessage(websocket.TextMessage, []byte(strings.TrimSuffix(line, "\n"))); v.err != nil {
			return
		}
	}
	for {
		_, text, err := c.ReadMessage()
		if err != nil {
			v.err = err
			return
		}
		v.body += string(text) + "\n"
	}
}

// end waits for the visitor's end, until the time is up, and closes it then.
func (v *visitor) end(wait time.Duration) {
	await(v.done, wait)
	v.cancel()
	<-v.done
}

// over reports whether the visitor has ended.
func (v *visitor) over() bool {
	select {
	case <-v.done:
		return true
	default:
		return false
	}
}

// code returns the code of the Close frame that ended a WebSocket, zero if none did.
func (v *visitor) code() int {
	var ended *websocket.CloseError
	if errors.As(v.err, &ended) && ended.Code != websocket.CloseAbnormalClosure && ended.Code != websocket.CloseNoStatusReceived {
		return ended.Code
	}
	return 0
}
