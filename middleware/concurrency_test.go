package middleware_test

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// A hijackable is a ResponseWriter over a connection in memory whose peer reads all and answers
// nothing.
type hijackable struct {
	header http.Header
	status int
	conn   net.Conn
}

func (w *hijackable) Header() http.Header         { return w.header }
func (w *hijackable) Write(p []byte) (int, error) { return len(p), nil }
func (w *hijackable) WriteHeader(code int)        { w.status = code }
func (w *hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}

// A sink is a connection that takes everything, and whose reads end when it is closed.
type sink struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func newSink() *sink { return &sink{closed: make(chan struct{})} }

func (s *sink) Write(p []byte) (int, error)      { return len(p), nil }
func (s *sink) Read([]byte) (int, error)         { <-s.closed; return 0, io.EOF }
func (s *sink) Close() error                     { s.once.Do(func() { close(s.closed) }); return nil }
func (s *sink) SetDeadline(time.Time) error      { return nil }
func (s *sink) SetReadDeadline(time.Time) error  { return nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// A thousand requests, half of them upgrades, race with Start: each has exactly one outcome. The
// race is with the registration and with the hijack, so there is no network in it that would spread
// the requests out.
func TestEveryResponseHasOneOutcome(t *testing.T) {
	const rounds, workers, requests = 200, 8, 1000
	for round := range rounds {
		d := &middleware.Drainer{
			Policy: policy.Rule{Timeout: policy.AtOnce, Mercy: policy.AtOnce},
			Budget: policy.Budget{Total: time.Minute, Reserve: 30 * time.Second}, // for a machine that is busy
		}
		var running atomic.Int64
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			running.Add(1)
			defer running.Add(-1)
			if r.Header.Get("Upgrade") == "" {
				_, _ = io.WriteString(w, "ok")
				return
			}
			conn, _, err := w.(http.Hijacker).Hijack()
			if !assert.NoError(t, err) {
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x02hi")
			running.Add(1)
			go func() { // as gorilla's pumps: the handler is gone
				defer running.Add(-1)
				defer conn.Close()
				_, _ = conn.Read(make([]byte, 1))
			}()
		}))
		var wg sync.WaitGroup
		half := make(chan struct{})
		var sent atomic.Int64
		for w := range workers {
			wg.Go(func() {
				for i := range requests / workers {
					r, err := http.NewRequest(http.MethodGet, "http://test/", nil)
					if !assert.NoError(t, err) {
						return
					}
					rw := &hijackable{header: http.Header{}, conn: newSink()}
					if (i+w)%2 == 0 {
						r.Header.Set("Upgrade", "websocket")
						r.Header.Set("Connection", "Upgrade")
					}
					h.ServeHTTP(rw, r)
					if sent.Add(1) == requests/2 {
						close(half)
					}
				}
			})
		}
		<-half
		d.Start()
		err := d.Shutdown(context.Background())
		require.NoError(t, err)
		// No connection of those admitted is open any more.
		wg.Wait()
		r := d.Report()
		sum := r.Before.All() + r.All()
		require.EqualValues(t, requests, sum, "round %d: %+v", round, r)
		require.Zero(t, r.Open.All())
		require.Equal(t, middleware.Done, r.Phase)
	}
}

// Start, Shutdown, Close, Report and Draining may all be called at once.
func TestConcurrentCallsOfADrainer(t *testing.T) {
	for range 100 {
		d := &middleware.Drainer{}
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				r, _ := http.NewRequest(http.MethodGet, "http://test/", nil)
				abortable(h).ServeHTTP(&hijackable{header: http.Header{}}, r)
			})
			wg.Go(d.Start)
			wg.Go(func() { _ = d.Report() })
			wg.Go(func() { assert.NoError(t, d.Close()) })
			wg.Go(func() { assert.NoError(t, d.Shutdown(context.Background())) })
			wg.Go(func() { <-d.Draining() })
		}
		wg.Wait()
	}
}

// A stream returns by itself at the moment of its farewell: the drain and the handler's end must
// not meet in making what the farewell needs. The race detector tells.
func TestHandlerReturnsAsItIsTold(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			rule := policy.Rule{Kind: policy.Infinite, Grace: time.Second}
			r := serve(t, &middleware.Drainer{Policy: rule}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				time.Sleep(time.Second)
			}))
			got := r.getAsync("/")
			r.drain()
			r.endsAfter(time.Second)
			<-got
		})
	}
}

// Resume may come at any moment, the last farewell's too: a stream is then either told, and ends,
// or it stays, and nothing in between. Nothing is lost or counted twice, however often that goes
// on.
func TestResumeRacesTheFarewells(t *testing.T) {
	const rounds, streams = 300, 20
	d := &middleware.Drainer{Policy: policy.Rule{Spread: time.Millisecond, Timeout: policy.AtOnce}}
	h := middleware.Graceful(d)(http.HandlerFunc(quiet))
	type client struct {
		over chan struct{}
		w    *httptest.ResponseRecorder
	}
	open := map[*client]bool{}
	var all uint64
	for range rounds {
		for len(open) < streams {
			r, err := http.NewRequest(http.MethodGet, "http://test/", nil)
			require.NoError(t, err)
			setFields(r, asEventSource)
			c := &client{make(chan struct{}), httptest.NewRecorder()}
			open[c] = true
			all++
			go func() {
				defer close(c.over)
				h.ServeHTTP(c.w, r)
			}()
		}
		d.Drain()
		// From before the first farewell to after the last.
		for begin, wait := time.Now(), rand.N(2*time.Millisecond); time.Since(begin) < wait; {
			runtime.Gosched()
		}
		require.NoError(t, d.Resume())
		require.Equal(t, middleware.Serving, d.Report().Phase)
		for c := range open {
			select {
			case <-c.over: // told, or refused
				delete(open, c)
			default:
			}
		}
	}
	require.NoError(t, d.Shutdown(context.Background()))
	for c := range open {
		<-c.over
	}
	report := d.Report()
	assert.EqualValues(t, all, report.Before.All()+report.All(), "%+v", report)
	assert.Positive(t, report.Before.Told)
	assert.Zero(t, report.Before.Cut+report.Cut+report.Before.Canceled+report.Canceled)
	assert.Zero(t, report.Before.Completed+report.Completed)
}

// All that can be done to a Drainer while it serves is done at once, for the race detector and for
// what never ends.
func TestDrainResumeAndShedAtOnce(t *testing.T) {
	for range 50 {
		d := &middleware.Drainer{Policy: policy.Rule{MaxAge: time.Millisecond, Spread: time.Millisecond, Timeout: policy.AtOnce}}
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if rand.IntN(2) == 0 {
				stream.From(r.Context()).Refine(policy.Rule{MaxAge: policy.ToTheEnd})
			}
			quiet(w, r)
		}))
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				r, _ := http.NewRequest(http.MethodGet, "http://test/", nil)
				setFields(r, asEventSource)
				h.ServeHTTP(httptest.NewRecorder(), r)
			})
			wg.Go(d.Drain)
			wg.Go(func() { _ = d.Resume() })
			wg.Go(func() { _, _ = d.Shed(context.Background(), middleware.ShedOptions{N: 2}) })
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(int(time.Millisecond))))
				defer cancel()
				_, _ = d.Shed(ctx, middleware.ShedOptions{Fraction: 0.5, Rule: policy.Rule{Spread: time.Second}})
			})
			wg.Go(func() { _ = d.Report() })
		}
		wg.Go(func() { assert.NoError(t, d.Shutdown(context.Background())) })
		wg.Wait()
		report := d.Report()
		assert.EqualValues(t, 8, report.Before.All()+report.All(), "%+v", report)
		assert.Zero(t, report.Open.All())
	}
}
