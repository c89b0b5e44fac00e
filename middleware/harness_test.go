package middleware_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is what handlers use and their caller closes once the drain is over.
type store struct {
	t      testing.TB
	closed atomic.Bool
}

func (s *store) use() {
	if s.closed.Load() {
		s.t.Error("a handler used the store after Run had returned")
	}
}

// rig is a server under a Drainer on a network in memory, with clients.
type rig struct {
	t      *testing.T
	d      *middleware.Drainer
	net    *memnet.Network
	client *http.Client
	store  *store
	began  time.Time
	stop   context.CancelFunc
	ran    chan error
}

// serve runs h under d. It must be called in a bubble, and the bubble's function
// must end with r.end().
func serve(t *testing.T, d *middleware.Drainer, h http.Handler) *rig {
	return serveAll(t, d, middleware.Graceful(d)(h))
}

// serveAll is serve for a handler that is wrapped already.
func serveAll(t *testing.T, d *middleware.Drainer, h http.Handler) *rig {
	r := &rig{t: t, d: d, net: memnet.New(), store: &store{t: t}, ran: make(chan error, 1), began: time.Now()}
	r.client = &http.Client{Transport: &http.Transport{DialContext: r.net.Dial}}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	srv := &http.Server{Handler: h}
	go func() {
		err := d.Run(ctx, srv, func() error { return srv.Serve(r.net) })
		r.store.closed.Store(true)
		r.ran <- err
	}()
	return r
}

// drain begins the drain and starts the clock of since.
func (r *rig) drain() {
	synctest.Wait()
	r.began = time.Now()
	r.stop()
	<-r.d.Draining()
	synctest.Wait() // until what begins at once has begun
}

func (r *rig) since() time.Duration { return time.Since(r.began) }

// end waits for Run and gives its error, and the time since the drain began.
func (r *rig) end() (time.Duration, error) {
	r.stop()
	err := <-r.ran
	took := r.since()
	r.client.CloseIdleConnections()
	synctest.Wait()
	return took, err
}

// ended is end for a drain that must end in order, after at least this time and
// at most a few polls of http.Server.Shutdown later.
func (r *rig) ended(after time.Duration) middleware.Report {
	r.t.Helper()
	took, err := r.end()
	require.NoError(r.t, err)
	require.GreaterOrEqual(r.t, took, after)
	require.LessOrEqual(r.t, took, after+20*time.Millisecond)
	return r.d.Report()
}

func (r *rig) get(path string, header ...string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://memory"+path, nil)
	require.NoError(r.t, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := r.client.Do(req)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { res.Body.Close() })
	return res
}

// later gets in the background; receive from the channel what came of it.
func (r *rig) later(path string) <-chan answer {
	c := make(chan answer, 1)
	go func() {
		res, err := r.client.Get("http://memory" + path)
		if err != nil {
			c <- answer{err: err}
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		c <- answer{res, string(body), err}
	}()
	return c
}

type answer struct {
	*http.Response
	body string
	err  error
}

func (r *rig) dial(path string) *websocket.Conn {
	r.t.Helper()
	d := websocket.Dialer{NetDialContext: r.net.Dial}
	c, _, err := d.Dial("ws://memory"+path, nil)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { c.Close() })
	return c
}

// stuck sends a request and never reads a byte of the answer. The connection
// must be closed before the bubble ends.
func (r *rig) stuck(path string) net.Conn {
	r.t.Helper()
	c, err := r.net.Dial(context.Background(), "", "")
	require.NoError(r.t, err)
	_, err = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: memory\r\n\r\n")
	require.NoError(r.t, err)
	return c
}

// lines gives the lines of an event stream as they come, and closes at its end
// with the error that ended it in *err.
func lines(body io.Reader, err *error) <-chan string {
	c := make(chan string)
	go func() {
		defer close(c)
		s := bufio.NewScanner(body)
		for s.Scan() {
			c <- s.Text()
		}
		*err = s.Err()
	}()
	return c
}

// ticks is a handler of an event stream with an event a second, like most.
func ticks(s *store) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		flush := w.(http.Flusher)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			if s != nil {
				s.use()
			}
			if _, err := io.WriteString(w, "data: tick\n\n"); err != nil {
				return
			}
			flush.Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	}
}
