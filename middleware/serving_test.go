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

// begins begins an event stream that goes on as its handler likes.
func begins(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, text)
	w.(http.Flusher).Flush()
}

// What a handler says between its being picked and its slot counts: a finite answer
// is let finish.
func TestShedSparesWhatTurnsOutToBeFinite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begins(w, hello)
			if r.URL.Path != "/answer" {
				<-r.Context().Done()
				return
			}
			time.Sleep(time.Millisecond) // before its slot, which is the second: at 5 ms at the earliest
			stream.Tag(r.Context(), policy.Finite)
			time.Sleep(time.Minute)
			assert.NoError(t, r.Context().Err())
			_, _ = io.WriteString(w, "data: done\n\n")
		}))
		old := r.watch("/old")
		time.Sleep(time.Second)
		answer := make(chan seen, 1)
		go func() { answer <- <-r.watch("/answer") }()
		synctest.Wait()
		shed, err := d.Shed(context.Background(), middleware.Share{N: 2, Rule: policy.Rule{Spread: time.Hour, Order: policy.OldestFirst}})
		require.NoError(t, err)
		assert.Equal(t, middleware.Shed{Picked: 1, Outcomes: stream.Outcomes{Told: 1}}, shed)
		assert.True(t, (<-old).told())
		e := <-answer
		require.NoError(t, e.err)
		assert.Equal(t, "data: done\n\n", e.text)
		r.drain()
		r.ended(0)
	})
}

// With a Timeout of none the insisting on the shortest farewell falls due with the
// farewell, and must not overtake it.
func TestFarewellAtOnceHasItsMessage(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce, Farewell: policy.Farewell{Message: "bye"}}}
			r := serve(t, d, echo(&store{t: t}))
			socket := r.dial("/")
			synctest.Wait()
			r.stop()
			_, message, err := socket.ReadMessage()
			require.NoError(t, err)
			assert.Equal(t, "bye", string(message))
			_, _, err = socket.ReadMessage()
			assert.True(t, websocket.IsCloseError(err, 1012), "%v", err)
			r.ended(0)
			assert.EqualValues(t, 1, d.Report().Told)
		})
	}
}

// A farewell that is asked of the handler's own function, and comes back when the
// drain has ended without it, finds nothing to go on with.
func TestFarewellThatComesAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 3 * time.Second}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			stream.OnFarewell(r.Context(), func(time.Duration) policy.Farewell {
				time.Sleep(2 * time.Second)
				return policy.Farewell{}
			})
			begins(w, hello)
			<-d.Draining()
			time.Sleep(1600 * time.Millisecond) // past the half of Timeout
		}))
		ends := r.watchAll(3)
		r.drain()
		r.ended(2 * time.Second)
		assert.Len(t, over(ends), 3)
		assert.EqualValues(t, 3, d.Report().Completed)
	})
}

// What comes of age while a drain is announced doesn't bring that further.
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

// halves is a network whose connections tell when their reading was closed.
type halves struct {
	*memnet.Network
	closed atomic.Int32
}

func (h *halves) Accept() (net.Conn, error) {
	c, err := h.Network.Accept()
	return half{c, h}, err
}

type half struct {
	net.Conn
	of *halves
}

func (h half) CloseRead() error {
	h.of.closed.Add(1)
	return nil
}

// A connection over which a TimeoutHandler has answered may be at its next request
// by the time a stream that outlasted it has been told.
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
				d := &middleware.Drainer{Policy: policy.Rule{Kind: policy.Infinite, MaxAge: 10 * time.Second}}
				h := c.around(middleware.Graceful(d)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					<-stream.Draining(r.Context())
					time.Sleep(3*time.Second + time.Millisecond)
				})))
				network := &halves{Network: memnet.New()}
				srv := &http.Server{Handler: h, ConnContext: d.ConnContext}
				go func() { _ = srv.Serve(network) }()
				client := &http.Client{Transport: &http.Transport{DialContext: network.Dial}}
				res, err := client.Get("http://memory/")
				require.NoError(t, err)
				assert.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
				res.Body.Close()
				time.Sleep(time.Minute)
				assert.Equal(t, c.closed, network.closed.Load())
				assert.EqualValues(t, 1, d.Report().Before.Cancelled)
				client.CloseIdleConnections()
				require.NoError(t, srv.Close())
			})
		})
	}
}

// A stream that was let off while its farewell waited for the end of an event is not
// told after all, when it is a stream again.
func TestWhoIsLetOffIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 10 * time.Second}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begins(w, hello+"data: half")
			time.Sleep(time.Second)
			stream.Tag(r.Context(), policy.Finite)
			time.Sleep(time.Second)
			stream.Tag(r.Context(), policy.Auto)
			_, _ = io.WriteString(w, "\n\n")
			select {
			case <-r.Context().Done():
			case <-time.NewTimer(time.Hour).C:
				_, _ = io.WriteString(w, "data: goes on\n\n")
			}
		}))
		first := r.watch("/first")
		shed, err := d.Shed(context.Background(), middleware.Share{N: 1})
		require.NoError(t, err)
		assert.Zero(t, shed, "it let its only one off")
		assert.Equal(t, "data: half\n\ndata: goes on\n\n", (<-first).text)

		second := r.watch("/second")
		_, err = d.Shed(context.Background(), middleware.Share{N: 1})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		r.drain()
		r.ended(10 * time.Second)
		assert.Regexp(t, `^data: half\n\nretry: \d+\nevent: shutdown\n`, (<-second).text, "the next drain tells it")
	})
}

// Nor is a WebSocket whose upgrade came after.
func TestWhoIsLetOffIsNotToldByItsSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Kind: policy.Infinite, MaxAge: 10 * time.Second, Timeout: 10 * time.Second}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-stream.Draining(r.Context())
			stream.Tag(r.Context(), policy.Finite)
			time.Sleep(time.Second)
			echo(&store{t: t})(w, r)
		}))
		socket := r.dial("/")
		synctest.Wait()
		require.NoError(t, socket.WriteMessage(websocket.TextMessage, []byte("still here")))
		_, message, err := socket.ReadMessage()
		require.NoError(t, err)
		assert.Equal(t, "still here", string(message))
		require.NoError(t, socket.Close())
		synctest.Wait()
		assert.EqualValues(t, 1, d.Report().Before.Completed)
		r.drain()
		r.ended(0)
	})
}

// Nor does one hear that it should wind up that was let off while its OnFarewell
// function was at work.
func TestWhoIsLetOffDoesNotHearOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked := make(chan struct{})
			stream.OnFarewell(r.Context(), func(time.Duration) policy.Farewell {
				close(asked)
				time.Sleep(time.Second)
				return policy.Farewell{}
			})
			begins(w, hello)
			<-asked
			stream.Tag(r.Context(), policy.Finite)
			select {
			case <-stream.Draining(r.Context()):
			case <-time.NewTimer(time.Hour).C:
				_, _ = io.WriteString(w, "data: done\n\n")
			}
		}))
		answer := r.watch("/")
		_, err := d.Shed(context.Background(), middleware.Share{N: 1})
		require.NoError(t, err)
		assert.Equal(t, "data: done\n\n", (<-answer).text)
		r.drain()
		r.ended(0)
	})
}

// Who comes of age before a word was written is not told that the server goes.
func TestAgeBeforeTheHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Kind: policy.Infinite, MaxAge: time.Minute}}
		r := serve(t, d, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		poll := <-r.later("/poll")
		require.NoError(t, poll.err)
		assert.Equal(t, http.StatusServiceUnavailable, poll.StatusCode)
		assert.NotEmpty(t, poll.Header.Get("Retry-After"))
		assert.Equal(t, "this has taken as long as it may; please retry\n", poll.body)
		r.drain()
		r.ended(0)
	})
}

// One that was let off with its farewell still to be said, says it as soon as a drain
// has it planned, and goes on to its end though that is taken back before its slot.
func TestFarewellBeforeItsSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Grace: 10 * time.Second, Timeout: time.Second}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			begins(w, hello+"data: half")
			time.Sleep(100 * time.Millisecond)
			stream.Tag(r.Context(), policy.Finite)
			time.Sleep(100 * time.Millisecond)
			stream.Tag(r.Context(), policy.Auto)
			<-d.Draining()
			time.Sleep(time.Second)
			_, _ = io.WriteString(w, "\n\n")
			time.Sleep(2 * time.Second)
			stream.Tag(r.Context(), policy.Finite)
			<-r.Context().Done()
		}))
		end := r.watch("/")
		_, err := d.Shed(context.Background(), middleware.Share{N: 1})
		require.NoError(t, err)
		time.Sleep(time.Second)
		d.Drain()
		time.Sleep(2 * time.Second)
		require.NoError(t, d.Resume())
		began := time.Now()
		e := <-end
		assert.True(t, e.told())
		assert.LessOrEqual(t, e.at.Sub(began), 9*time.Second+10*time.Millisecond)
		r.drain()
		r.ended(0)
	})
}
