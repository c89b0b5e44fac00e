package middleware_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/middleware/draintest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A store stands for what handlers use, a database say, and their caller closes once the drain is
// over.
type store struct {
	t      testing.TB
	closed atomic.Bool
}

func (s *store) use() {
	if s.closed.Load() {
		s.t.Error("a handler used the store after Run had returned")
	}
}

// A rig is a server under a Drainer on a network in memory, with its clients.
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

// serve runs h under d. It must be called in a synctest bubble, whose function must end with r.end
// or r.endsAfter.
func serve(t *testing.T, d *middleware.Drainer, h http.Handler) *rig {
	return serveWrapped(t, d, middleware.Graceful(d)(h))
}

// serveWrapped is serve for a handler that Graceful wraps already.
func serveWrapped(t *testing.T, d *middleware.Drainer, h http.Handler) *rig {
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

// serveWithoutRun serves h without Drainer.Run, so that the Drainer is not shown its connections.
// r.end closes the server.
func serveWithoutRun(t *testing.T, h http.Handler) *rig {
	r := &rig{t: t, net: memnet.New(), ran: make(chan error, 1), began: time.Now()}
	r.client = &http.Client{Transport: &http.Transport{DialContext: r.net.Dial}}
	srv := &http.Server{Handler: h}
	r.stop = func() { _ = srv.Close() }
	go func() { r.ran <- srv.Serve(r.net) }()
	return r
}

// drain begins the drain, starts the clock of since, and waits until all that happens at once has
// happened.
func (r *rig) drain() {
	synctest.Wait()
	r.began = time.Now()
	r.stop()
	<-r.d.Draining()
	synctest.Wait() // until what begins at once has begun
}

func (r *rig) since() time.Duration { return time.Since(r.began) }

// end waits for Run and returns its error, and the time since the drain began.
func (r *rig) end() (time.Duration, error) {
	r.stop()
	err := <-r.ran
	took := r.since()
	r.client.CloseIdleConnections()
	synctest.Wait()
	return took, err
}

// endsAfter is end for a drain that must end without an error, at this time after its beginning or
// at most a few polls of http.Server.Shutdown later.
func (r *rig) endsAfter(after time.Duration) middleware.Report {
	r.t.Helper()
	took, err := r.end()
	require.NoError(r.t, err)
	require.GreaterOrEqual(r.t, took, after)
	require.LessOrEqual(r.t, took, after+20*time.Millisecond)
	report := r.d.Report()
	requireBalanced(r.t, report)
	return report
}

func (r *rig) get(path string, header ...string) *http.Response {
	r.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://memory"+path, nil)
	require.NoError(r.t, err)
	setFields(req, header)
	res, err := r.client.Do(req)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { res.Body.Close() })
	return res
}

// setFields sets header fields, given as names and values.
func setFields(r *http.Request, fields []string) {
	for i := 0; i+1 < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
}

// asEventSource are the fields that every EventSource sends.
var asEventSource = []string{"Accept", "text/event-stream", "Cache-Control", "no-cache", "User-Agent", "EventSource"}

// open requests path as an EventSource does.
func (r *rig) open(path string) *http.Response {
	r.t.Helper()
	return r.get(path, asEventSource...)
}

// getAsync requests path in the background, as an EventSource does, and sends what came of it.
func (r *rig) getAsync(path string) <-chan answer { return r.getAsyncWith(path, asEventSource...) }

// getAsyncWith requests path in the background, with these header fields, and sends what came of
// it.
func (r *rig) getAsyncWith(path string, header ...string) <-chan answer {
	c := make(chan answer, 1)
	go func() {
		req, err := http.NewRequest(http.MethodGet, "http://memory"+path, nil)
		if err != nil {
			c <- answer{err: err}
			return
		}
		setFields(req, header)
		res, err := r.client.Do(req)
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

// stuck sends a request and never reads a byte of the response. The connection must be closed
// before the bubble ends.
func (r *rig) stuck(path string) net.Conn {
	r.t.Helper()
	c, err := draintest.Stuck(r.net.Dial, "", path)
	require.NoError(r.t, err)
	return c
}

// A transcript is what a client saw of an event stream, once that has ended.
type transcript struct {
	text string
	at   time.Time // of the end
	err  error
}

func (s transcript) told() bool { return strings.Contains(s.text, "event: shutdown\n") }

// watch opens an event stream, and returns once it is open. The channel receives its transcript.
func (r *rig) watch(path string, header ...string) <-chan transcript {
	r.t.Helper()
	body := r.get(path, append(slices.Clone(asEventSource), header...)...).Body
	first := make([]byte, len(hello))
	_, err := io.ReadFull(body, first)
	require.NoError(r.t, err)
	end := make(chan transcript, 1)
	go func() {
		text, err := io.ReadAll(body)
		end <- transcript{string(text), time.Now(), err}
	}()
	return end
}

// watchAll opens n streams, a second apart.
func (r *rig) watchAll(n int) []<-chan transcript {
	ends := make([]<-chan transcript, n)
	for i := range ends {
		ends[i] = r.watch(fmt.Sprintf("/%d", i))
		time.Sleep(time.Second)
	}
	return ends
}

// finished returns the transcripts of the streams that have ended, by their number.
func finished(ends []<-chan transcript) map[int]transcript {
	synctest.Wait()
	all := map[int]transcript{}
	for i, end := range ends {
		select {
		case e := <-end:
			all[i] = e
		default:
		}
	}
	return all
}

// lines sends the lines of an event stream as they come. At its end it closes the channel, with the
// error that ended the stream in *err.
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

// sendRequest sends a GET on c and returns the response.
func sendRequest(t *testing.T, c net.Conn, br *bufio.Reader, path, protocol string, header ...string) *http.Response {
	t.Helper()
	_, err := io.WriteString(c, strings.Join(append([]string{"GET " + path + " " + protocol, "Host: memory"}, header...), "\r\n")+"\r\n\r\n")
	require.NoError(t, err)
	res, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	return res
}

func canceled(r middleware.Report) uint64  { return r.Canceled }
func completed(r middleware.Report) uint64 { return r.Completed }
func wasCut(r middleware.Report) uint64    { return r.Cut }
func told(r middleware.Report) uint64      { return r.Told }

// schedulerRuns reports whether a goroutine is running that package middleware started, other than
// for Run.
func schedulerRuns() bool {
	const library, run = "\ncreated by github.com/lastcall-go/lastcall/middleware.", "(*Drainer).RunAll in"
	stacks := make([]byte, 1<<20)
	all := string(stacks[:runtime.Stack(stacks, true)])
	return strings.Count(all, library) > strings.Count(all, library+run)
}

// abortable is h with the panic caught by which net/http is told to break a response off.
func abortable(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil && v != http.ErrAbortHandler {
				panic(v)
			}
		}()
		h.ServeHTTP(w, r)
	})
}
