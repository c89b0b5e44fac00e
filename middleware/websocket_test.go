package middleware_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

func TestWebSocketIsToldAndWaitedFor(t *testing.T) {
	for name, handler := range map[string]func(*store) http.HandlerFunc{"the handler stays": echo, "the handler returns": pumps} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &store{t: t}
				d := &middleware.Drainer{Policy: policy.Rule{
					Grace:    2 * time.Second,
					Farewell: policy.Farewell{Code: 4001, Reason: "bye", Message: `{"retry":{retry}}`},
				}}
				r := serve(t, d, handler(s))
				r.store = s
				c := r.dial("/")
				require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("hello")))
				_, p, err := c.ReadMessage()
				require.NoError(t, err)
				assert.Equal(t, "hello", string(p))
				r.drain()
				_, p, err = c.ReadMessage()
				require.NoError(t, err)
				assert.Regexp(t, `^{"retry":\d+}$`, string(p))
				assert.Equal(t, 2*time.Second, r.since(), "not before its grace is over")
				_, _, err = c.ReadMessage() // gorilla answers the Close by itself
				assert.Equal(t, &websocket.CloseError{Code: 4001, Text: "bye"}, closeOf(t, err))
				report := r.endsAfter(2 * time.Second)
				assert.EqualValues(t, 1, report.Told)
				assert.Equal(t, middleware.Tally{WebSocket: 1}, report.Found)
			})
		})
	}
}

func TestWebSocketDefaultFarewell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{t: t}
		r := serve(t, &middleware.Drainer{}, echo(s))
		r.store = s
		c := r.dial("/")
		r.drain()
		_, _, err := c.ReadMessage()
		assert.Equal(t, websocket.CloseServiceRestart, closeOf(t, err).Code)
		assert.Regexp(t, `^service restart; retry=\d{4}$`, closeOf(t, err).Text)
		r.endsAfter(0)
	})
}

// With a Timeout of none the moment at which the last message is given up falls together with the
// farewell, and must not come before it.
func TestWebSocketFarewellOfARuleWithoutTimeoutHasItsMessage(t *testing.T) {
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
			r.endsAfter(0)
			assert.EqualValues(t, 1, d.Report().Told)
		})
	}
}

// A last message can't stand inside a fragmented message of the handler's: after half the timeout
// it is left out, and the Close goes alone.
func TestLastMessageThatFindsNoBoundaryIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 4 * time.Second, Farewell: policy.Farewell{Message: "bye"}}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := upgrader.Upgrade(w, r, nil)
			if !assert.NoError(t, err) {
				return
			}
			defer c.Close()
			part, err := c.NextWriter(websocket.TextMessage)
			assert.NoError(t, err)
			_, _ = part.Write(make([]byte, 8192)) // more than its buffer: a fragment goes out
			_, _, err = c.ReadMessage()
			assert.Error(t, err)
		}))
		c := r.dial("/")
		reading := make(chan error)
		go func() {
			_, _, err := c.ReadMessage()
			reading <- err
		}()
		r.drain()
		assert.Equal(t, websocket.CloseServiceRestart, closeOf(t, <-reading).Code)
		assert.Equal(t, 2*time.Second, r.since())
		assert.EqualValues(t, 1, told(r.endsAfter(2*time.Second)))
	})
}

// A farewell that fell due before the handler upgraded is written by the connection that it hijacks
// then.
func TestWebSocketFarewellAskedForBeforeTheUpgrade(t *testing.T) {
	for _, kind := range []policy.Kind{policy.Auto, policy.Infinite} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &store{t: t}
				r := serve(t, &middleware.Drainer{Policy: policy.Rule{Kind: kind}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(500 * time.Millisecond)
					echo(s)(w, r)
				}))
				r.store = s
				dialed := make(chan *websocket.Conn)
				go func() {
					c, _, err := (&websocket.Dialer{NetDialContext: r.net.Dial}).Dial("ws://memory/", nil)
					assert.NoError(t, err)
					dialed <- c
				}()
				r.drain()
				c := <-dialed
				defer c.Close()
				_, _, err := c.ReadMessage()
				assert.Equal(t, websocket.CloseServiceRestart, closeOf(t, err).Code)
				assert.EqualValues(t, 1, r.endsAfter(500*time.Millisecond).Told)
			})
		})
	}
}

// A peer that doesn't answer the Close is waited for as long as its rule says.
func TestWebSocketPeerThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{t: t}
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 2 * time.Second, Mercy: time.Second}}
		var handled time.Time
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			echo(s)(w, r)
			handled = time.Now()
		}))
		r.store = s
		c := r.dial("/")
		c.SetCloseHandler(func(int, string) error { return nil })
		r.drain()
		_, _, err := c.ReadMessage()
		assert.Equal(t, websocket.CloseServiceRestart, closeOf(t, err).Code)
		report := r.endsAfter(3 * time.Second)
		assert.EqualValues(t, 1, report.Unanswered)
		assert.Equal(t, 2*time.Second, handled.Sub(r.began), "the handler's read ends at the cancel")
		assert.Empty(t, report.Aborted)
	})
}

// A handler that only writes never sees the peer's Close. The drain reads it.
func TestWebSocketHandlerThatNeverReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 2 * time.Second}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := upgrader.Upgrade(w, r, nil)
			if !assert.NoError(t, err) {
				return
			}
			defer c.Close()
			tick := time.NewTicker(300 * time.Millisecond)
			defer tick.Stop()
			for r.Context().Err() == nil {
				assert.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("tick")))
				select {
				case <-tick.C:
				case <-r.Context().Done():
				}
			}
		}))
		c := r.dial("/")
		c.SetCloseHandler(func(code int, _ string) error { // patient, since the network in memory has no buffer
			return c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Hour))
		})
		reading := make(chan error)
		go func() {
			for {
				if _, _, err := c.ReadMessage(); err != nil {
					reading <- err
					return
				}
			}
		}()
		r.drain()
		assert.Equal(t, websocket.CloseServiceRestart, closeOf(t, <-reading).Code)
		report := r.endsAfter(2 * time.Second)
		assert.EqualValues(t, 1, report.Told)
	})
}

// A peer that has stopped reading in the middle of a frame can't be told: it is cut at its own
// deadline, and the others end on time.
func TestWebSocketWhosePeerDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 2 * time.Second, Mercy: time.Second}}
		s := &store{t: t}
		mux := http.NewServeMux()
		mux.Handle("/echo", echo(s))
		mux.HandleFunc("/flood", func(w http.ResponseWriter, r *http.Request) {
			c, err := upgrader.Upgrade(w, r, nil)
			if !assert.NoError(t, err) {
				return
			}
			defer c.Close()
			for c.WriteMessage(websocket.TextMessage, make([]byte, 1<<16)) == nil {
				s.use()
			}
		})
		r := serve(t, d, mux)
		r.store = s
		r.dial("/flood")
		healthy := r.dial("/echo")
		r.drain()
		_, _, err := healthy.ReadMessage()
		closeOf(t, err)
		assert.Zero(t, r.since())
		report := r.endsAfter(3 * time.Second)
		assert.EqualValues(t, 1, report.Told)
		assert.EqualValues(t, 1, report.Cut)
		require.Len(t, report.Aborted, 1)
		assert.Equal(t, "GET /flood", report.Aborted[0].Route)
		assert.Equal(t, stream.WebSocket, report.Aborted[0].Format)
		assert.Equal(t, 3*time.Second, report.Aborted[0].Idle, "since its last byte, not since its last whole frame")
	})
}

func TestWebSocketThatEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{t: t}
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Grace: 5 * time.Second}}, echo(s))
		r.store = s
		c := r.dial("/")
		r.drain()
		time.Sleep(time.Second)
		require.NoError(t, c.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "")))
		_, _, err := c.ReadMessage()
		assert.Equal(t, websocket.CloseNormalClosure, closeOf(t, err).Code)
		assert.EqualValues(t, 1, r.endsAfter(time.Second).Completed)
	})
}
