package middleware_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// hijackable is a ResponseWriter over a connection in memory whose peer reads
// all and answers nothing.
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

// sink is a connection that takes everything, and whose reads end when it is
// closed.
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

// A thousand requests, half of them upgrades, race with Start: each has exactly
// one outcome. The race is with the registration and with the hijack, so there
// is no network in it that would spread the requests out.
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
func TestConcurrentUse(t *testing.T) {
	for range 100 {
		d := &middleware.Drainer{}
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				r, _ := http.NewRequest(http.MethodGet, "http://test/", nil)
				h.ServeHTTP(&hijackable{header: http.Header{}}, r)
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

// A stream that has nothing yet of what a farewell needs returns by itself as it is
// told: the drain and the handler's end must not meet in making that. The race
// detector says.
func TestHandlerReturnsAsItIsTold(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			rule := policy.Rule{Kind: policy.Infinite, Grace: time.Second}
			r := serve(t, &middleware.Drainer{Policy: rule}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				time.Sleep(time.Second)
			}))
			got := r.later("/")
			r.drain()
			r.ended(time.Second)
			<-got
		})
	}
}
