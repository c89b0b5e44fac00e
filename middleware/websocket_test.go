package middleware_test

import (
	"bufio"
	"context"
	"io"
	"net"
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

var upgrader websocket.Upgrader

// echo is a gorilla handler that stays until its connection ends.
func echo(s *store) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			s.t.Error(err)
			return
		}
		defer c.Close()
		for {
			kind, p, err := c.ReadMessage()
			s.use()
			if err != nil || c.WriteMessage(kind, p) != nil {
				return
			}
		}
	}
}

// pumps is gorilla's own pattern: the handler returns at once, two goroutines
// live on, and the reader is the one that closes.
func pumps(s *store) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			s.t.Error(err)
			return
		}
		send, quit := make(chan []byte, 8), make(chan struct{})
		go func() {
			for {
				select {
				case p := <-send:
					_ = c.WriteMessage(websocket.TextMessage, p)
				case <-quit:
					return
				}
			}
		}()
		go func() {
			defer c.Close()
			defer s.use()
			defer close(quit)
			for {
				_, p, err := c.ReadMessage()
				if err != nil {
					return
				}
				s.use()
				send <- p
			}
		}()
	}
}

func closeOf(t *testing.T, err error) *websocket.CloseError {
	t.Helper()
	var closed *websocket.CloseError
	require.ErrorAs(t, err, &closed)
	return closed
}

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
				report := r.ended(2 * time.Second)
				assert.EqualValues(t, 1, report.Told)
				assert.Equal(t, stream.Tally{WebSocket: 1}, report.Found)
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
		r.ended(0)
	})
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
		report := r.ended(3 * time.Second)
		assert.EqualValues(t, 1, report.Unanswered)
		assert.Equal(t, 2*time.Second, handled.Sub(r.began), "the handler's read ends at the cancel")
		assert.Empty(t, report.Ends)
	})
}

// A handler that only writes never sees the peer's answer; we look for it.
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
		report := r.ended(2 * time.Second)
		assert.EqualValues(t, 1, report.Told)
	})
}

// A peer that has stopped reading in the middle of a frame can't be told: it is
// cut at its own deadline, and the others end on time.
func TestStuckWebSocket(t *testing.T) {
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
		report := r.ended(3 * time.Second)
		assert.EqualValues(t, 1, report.Told)
		assert.EqualValues(t, 1, report.Cut)
		require.Len(t, report.Ends, 1)
		assert.Equal(t, "/flood", report.Ends[0].Route)
		assert.Equal(t, stream.WebSocket, report.Ends[0].Protocol)
		assert.Equal(t, 3*time.Second, report.Ends[0].Idle, "since its last byte, not since its last whole frame")
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
		assert.EqualValues(t, 1, r.ended(time.Second).Completed)
	})
}

// What was upgraded to something else is told through its context only, and
// closed in the end.
func TestOtherHijackedConnections(t *testing.T) {
	for name, c := range map[string]struct {
		listens bool
		after   time.Duration
		outcome func(middleware.Report) uint64
	}{
		"ends when cancelled": {true, 2 * time.Second, cancelled},
		"never ends":          {false, 3 * time.Second, wasCut},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &middleware.Drainer{Policy: policy.Rule{Timeout: 2 * time.Second, Mercy: time.Second}}
				r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					conn, brw, err := w.(http.Hijacker).Hijack()
					if !assert.NoError(t, err) {
						return
					}
					defer conn.Close()
					assert.Equal(t, 5, brw.Reader.Buffered(), "what the client sent early is there")
					_, _ = brw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n")
					_ = brw.Flush()
					_, _ = io.CopyN(brw, brw, 5)
					_ = brw.Flush()
					if c.listens {
						<-r.Context().Done()
						return
					}
					_, _ = io.Copy(io.Discard, brw)
				}))
				conn, err := r.net.Dial(context.Background(), "", "")
				require.NoError(t, err)
				defer conn.Close()
				_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: memory\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly")
				require.NoError(t, err)
				br := bufio.NewReader(conn)
				res, err := http.ReadResponse(br, nil)
				require.NoError(t, err)
				assert.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
				early := make([]byte, 5)
				_, err = io.ReadFull(br, early)
				require.NoError(t, err)
				assert.Equal(t, "early", string(early))
				r.drain()
				rest, err := io.ReadAll(br)
				assert.NoError(t, err)
				assert.Empty(t, rest, "nothing is ever written into it")
				report := r.ended(c.after)
				assert.Equal(t, stream.Tally{Other: 1}, report.Found)
				assert.EqualValues(t, 1, c.outcome(report), "%+v", report)
			})
		})
	}
}

// A hijacked connection that its handler forgets to close is closed for it, and
// named: nobody can know whether something still uses it.
func TestHijackedConnectionThatNobodyCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var leaked net.Conn
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: time.Second}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := upgrader.Upgrade(w, r, nil)
			if assert.NoError(t, err) {
				leaked = c.NetConn()
			}
		}))
		c := r.dial("/")
		r.drain()
		_, _, err := c.ReadMessage()
		closeOf(t, err)
		_, err = r.end()
		var incomplete *middleware.IncompleteError
		require.ErrorAs(t, err, &incomplete)
		require.Len(t, incomplete.Running, 1)
		assert.Equal(t, "GET /", incomplete.Running[0].Route)
		leaked.Close()
	})
}
