package middleware_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

func TestStreamsEndByTheirAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const age = 100 * time.Second
		rule := policy.Rule{MaxAge: age, Timeout: time.Second}
		d := &middleware.Drainer{Policy: rule}
		s := &store{t: t}
		mux := http.NewServeMux()
		mux.HandleFunc("/events", quiet)
		mux.HandleFunc("/ws", echo(s))
		mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(2 * age)
			_, _ = io.WriteString(w, "done")
		})
		r := serve(t, d, mux)
		r.store = s
		slow := r.getAsync("/slow")
		began := time.Now()
		var ends []<-chan transcript
		for range 20 {
			ends = append(ends, r.watch("/events"))
		}
		socket := r.dial("/ws")

		_, _, err := socket.ReadMessage()
		assert.True(t, websocket.IsCloseError(err, 1012), "%v", err)
		assert.GreaterOrEqual(t, time.Since(began), age*4/5)
		assert.LessOrEqual(t, time.Since(began), age)
		var fifths [4]int
		for _, end := range ends {
			e := <-end
			require.NoError(t, e.err)
			assert.Regexp(t, `^retry: \d{4}\nevent: shutdown\ndata: {"retry":\d{4}}\n\n$`, e.text)
			told := e.at.Sub(began) - rule.Timeout
			require.GreaterOrEqual(t, told, age*4/5)
			require.LessOrEqual(t, told, age)
			fifths[(told-age*4/5)*4/(age/5+1)]++
		}
		for _, n := range fifths {
			assert.InDelta(t, 5, n, 1, "ages are even: %v", fifths)
		}
		synctest.Wait()
		report := d.Report()
		assert.Equal(t, middleware.Serving, report.Phase)
		assert.Equal(t, middleware.Outcomes{Told: 21}, report.Before)
		assert.Equal(t, middleware.Tally{Finite: 1}, report.Open)
		assert.False(t, schedulerRuns(), "nobody is left who has an age")
		assert.Equal(t, "done", (<-slow).body, "what is finite has none")
		last := r.watch("/events")
		r.drain()
		r.endsAfter(rule.Timeout)
		assert.True(t, (<-last).told())
	})
}

// A stream that its client leaves before its MaxAge leaves no goroutine behind.
func TestNothingIsKeptOfAStreamThatEndsBeforeItsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{MaxAge: time.Hour}}
		r := serve(t, d, http.HandlerFunc(quiet))
		for range 3 {
			res := r.get("/")
			synctest.Wait()
			assert.True(t, schedulerRuns())
			require.NoError(t, res.Body.Close())
			r.client.CloseIdleConnections()
			synctest.Wait()
			assert.False(t, schedulerRuns())
		}
		assert.Equal(t, middleware.Outcomes{Completed: 3}, d.Report().Before)
		r.drain()
		r.endsAfter(0)
	})
}

// The handler can change its stream's MaxAge, and its kind, at any time.
func TestHandlerChangesItsMaxAge(t *testing.T) {
	const never = 1000 * time.Hour
	for name, c := range map[string]struct {
		say  func(*http.Request)
		told time.Duration // at the latest
	}{
		"says nothing":                         {func(*http.Request) {}, time.Hour},
		"shortens it":                          {func(r *http.Request) { stream.From(r.Context()).Refine(policy.Rule{MaxAge: 45 * time.Minute}) }, 45 * time.Minute},
		"to an age that is past":               {func(r *http.Request) { stream.From(r.Context()).Refine(policy.Rule{MaxAge: time.Minute}) }, 30 * time.Minute},
		"to the end":                           {func(r *http.Request) { stream.From(r.Context()).Refine(policy.Rule{MaxAge: policy.ToTheEnd}) }, never},
		"tags itself finite":                   {func(r *http.Request) { stream.Tag(r.Context(), policy.Finite) }, never},
		"tags itself finite and takes it back": {func(r *http.Request) { stream.Tag(r.Context(), policy.Finite); stream.Tag(r.Context(), policy.Auto) }, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{MaxAge: time.Hour, Timeout: policy.AtOnce}}
				r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					_, _ = io.WriteString(w, hello)
					w.(http.Flusher).Flush()
					time.Sleep(30 * time.Minute)
					c.say(r)
					select {
					case <-r.Context().Done():
					case <-time.NewTimer(never - 30*time.Minute).C:
					}
				}))
				began := time.Now()
				e := <-r.watch("/")
				require.NoError(t, e.err)
				assert.Equal(t, c.told < never, e.told())
				assert.LessOrEqual(t, e.at.Sub(began), c.told+policy.AtOnce)
				assert.GreaterOrEqual(t, e.at.Sub(began), min(c.told, 45*time.Minute)*4/5)
				r.drain()
				r.endsAfter(0)
			})
		})
	}
}

// Once a stream has been told at its MaxAge, stream.Deadline has its cancel, and ErrDraining is the
// cause of that.
func TestAgedStreamHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{MaxAge: time.Minute, Timeout: 5 * time.Second}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, hello)
			w.(http.Flusher).Flush()
			_, ok := stream.Deadline(r.Context())
			assert.False(t, ok)
			<-stream.Draining(r.Context())
			at, ok := stream.Deadline(r.Context())
			assert.True(t, ok)
			assert.Equal(t, 5*time.Second, time.Until(at))
			<-r.Context().Done()
			assert.Zero(t, time.Until(at))
			assert.ErrorIs(t, context.Cause(r.Context()), stream.ErrDraining)
		}))
		assert.True(t, (<-r.watch("/")).told())
		r.drain()
		r.endsAfter(0)
	})
}

// A stream that was told at its MaxAge, with all the time that its rule gives, has to end within
// the budget once a drain begins.
func TestDrainShortensTheTimeOfAStreamToldAtItsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{
			Policy: policy.Rule{MaxAge: time.Minute, Timeout: time.Hour, Mercy: time.Hour},
			Budget: policy.Budget{Total: 3 * time.Hour},
		}
		wrapped := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, hello)
			w.(http.Flusher).Flush()
			<-stream.Draining(r.Context())
			<-r.Context().Done()
		}))
		r := serveWrapped(t, d, wrapped)
		end := r.watch("/")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		began := time.Now()
		require.NoError(t, d.Shutdown(ctx))
		assert.LessOrEqual(t, time.Since(began), 10*time.Second)
		assert.True(t, (<-end).told())
		assert.EqualValues(t, 1, d.Report().Told)
		assert.Equal(t, 1, d.Report().Found.SSE)
		_, err := r.end()
		require.NoError(t, err)
	})
}

// A stream that is told and cut by its MaxAge while a drain is announced does not end the
// announcement.
func TestAgeDoesNotEndTheAnnouncement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{
			Policy: policy.Rule{MaxAge: 5 * time.Second, Timeout: time.Second, Mercy: time.Second},
			Budget: policy.Budget{Total: 30 * time.Second, Announce: 20 * time.Second},
		}
		stay := make(chan struct{})
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			quiet(w, r)
			<-stay
		}))
		end := r.watch("/")
		r.drain()
		time.Sleep(10 * time.Second)
		assert.Equal(t, middleware.Announcing, d.Report().Phase, "one has been cut")
		assert.Equal(t, http.StatusOK, r.get("/").StatusCode, "and it still serves")
		close(stay)
		assert.True(t, (<-end).told())
		_, err := r.end()
		require.NoError(t, err)
	})
}

// Behind a stream that ended by its MaxAge its connection is closed for reading. It is left alone
// when an http.TimeoutHandler has answered on it meanwhile, so that it may be at its next request.
func TestAgeLeavesTheNextRequestsConnection(t *testing.T) {
	for name, c := range map[string]struct {
		around func(http.Handler) http.Handler
		closed int32
	}{
		"its own":          {func(h http.Handler) http.Handler { return h }, 1},
		"the next request": {func(h http.Handler) http.Handler { return http.TimeoutHandler(h, time.Second, "") }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Kind: policy.Infinite, MaxAge: 10 * time.Second, Timeout: time.Second}}
				h := c.around(middleware.Graceful(d)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					<-stream.Draining(r.Context())
					time.Sleep(time.Second + time.Millisecond) // until it is canceled
				})))
				network := &halfCloses{Network: memnet.New()}
				srv := &http.Server{Handler: h, ConnContext: d.ConnContext}
				go func() { _ = srv.Serve(network) }()
				client := &http.Client{Transport: &http.Transport{DialContext: network.Dial}}
				res, err := client.Get("http://memory/")
				require.NoError(t, err)
				assert.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
				res.Body.Close()
				time.Sleep(time.Minute)
				assert.Equal(t, c.closed, network.closed.Load())
				assert.EqualValues(t, 1, d.Report().Before.Canceled)
				client.CloseIdleConnections()
				require.NoError(t, srv.Close())
			})
		})
	}
}

// A response that reaches its MaxAge before its header was written gets 503. Its text doesn't say
// that the server shuts down.
func TestAgedResponseWithoutAHeaderGets503(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Kind: policy.Infinite, MaxAge: time.Minute}}
		r := serve(t, d, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		poll := <-r.getAsyncWith("/poll")
		require.NoError(t, poll.err)
		assert.Equal(t, http.StatusServiceUnavailable, poll.StatusCode)
		assert.NotEmpty(t, poll.Header.Get("Retry-After"))
		assert.Equal(t, "this connection is closing; please retry\n", poll.body)
		r.drain()
		r.endsAfter(0)
	})
}

// A halfCloses network counts the connections whose reading was closed.
type halfCloses struct {
	*memnet.Network
	closed atomic.Int32
}

func (h *halfCloses) Accept() (net.Conn, error) {
	c, err := h.Network.Accept()
	return halfCloseConn{c, h}, err
}

type halfCloseConn struct {
	net.Conn
	of *halfCloses
}

func (h halfCloseConn) CloseRead() error {
	h.of.closed.Add(1)
	return nil
}
