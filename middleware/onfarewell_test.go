package middleware_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"syscall"
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

// A handler can say goodbye in its own words, with its client's reconnect slot in them.
func TestOnFarewellReplacesTheRules(t *testing.T) {
	for name, c := range map[string]struct {
		own  policy.Farewell
		text string
		code int
		log  string
	}{
		"its own message":             {policy.Farewell{Message: "bye {retry}"}, "bye 2000", 4000, ""},
		"its own code":                {policy.Farewell{Code: 4001}, "rule", 4001, ""},
		"a code that may not be sent": {policy.Farewell{Code: 1006, Message: "bye"}, "rule", 4000, "close code 1006 may not be sent"},
		"nothing of its own":          {policy.Farewell{}, "rule", 4000, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				d := &middleware.Drainer{
					Logger: slog.New(slog.NewTextHandler(&log, nil)),
					Policy: policy.Rule{
						Reconnect: policy.Window{Min: 2 * time.Second, Max: 2 * time.Second},
						Farewell:  policy.Farewell{Code: 4000, Message: "rule"},
					},
				}
				s := &store{t: t}
				r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					stream.OnFarewell(req.Context(), func(retry time.Duration) policy.Farewell {
						assert.Equal(t, 2*time.Second, retry)
						return c.own
					})
					echo(s)(w, req)
				}))
				r.store = s
				conn := r.dial("/")
				r.drain()
				kind, p, err := conn.ReadMessage()
				require.NoError(t, err)
				assert.Equal(t, c.text, string(p))
				assert.Equal(t, websocket.TextMessage, kind)
				_, _, err = conn.ReadMessage()
				assert.Equal(t, c.code, closeOf(t, err).Code)
				r.endsAfter(0)
				if c.log == "" {
					assert.NotContains(t, log.String(), "level=WARN")
				} else {
					assert.Contains(t, log.String(), c.log)
				}
			})
		})
	}
}

// An OnFarewell function that panics ends neither the process nor its stream without a farewell.
func TestOnFarewellThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 3 * time.Second}, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			stream.OnFarewell(r.Context(), func(time.Duration) policy.Farewell { panic("no words") })
			ticks(nil)(w, r)
		}))
		got := r.getAsync("/")
		r.drain()
		report := r.endsAfter(3 * time.Second)
		assert.Contains(t, (<-got).body, "event: shutdown", "its rule's farewell instead")
		assert.EqualValues(t, 1, report.Told)
		assert.Contains(t, log.String(), "panicked: no words")
	})
}

// An OnFarewell function that blocks holds up the drain for half the reserve once nothing else is
// left. Then it ends without it.
func TestOnFarewellThatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 3 * time.Second}, Logger: slog.New(slog.NewTextHandler(&log, nil))}
		free := make(chan struct{})
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			stream.OnFarewell(r.Context(), func(time.Duration) policy.Farewell {
				<-free
				return policy.Farewell{}
			})
			ticks(nil)(w, r)
		}))
		got := r.getAsync("/")
		r.drain()
		report := r.endsAfter(4500 * time.Millisecond) // canceled at 3 s and half a mercy, and 1 s
		assert.EqualValues(t, 1, report.Canceled)
		assert.Contains(t, log.String(), "an OnFarewell function blocks")
		assert.NotContains(t, (<-got).body, "event: shutdown")
		close(free)
	})
}

// An OnFarewell function that returns when its stream and the drain have ended does nothing.
func TestOnFarewellThatReturnsAfterTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 3 * time.Second}}
		r := serve(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			stream.OnFarewell(r.Context(), func(time.Duration) policy.Farewell {
				time.Sleep(2 * time.Second)
				return policy.Farewell{}
			})
			startEvents(w, hello)
			<-d.Draining()
			time.Sleep(1600 * time.Millisecond) // past the half of Timeout
		}))
		ends := r.watchAll(3)
		r.drain()
		r.endsAfter(2 * time.Second)
		assert.Len(t, finished(ends), 3)
		assert.EqualValues(t, 3, d.Report().Completed)
	})
}

// A farewell whose OnFarewell function returns when the handler has hijacked the connection, and
// has returned, is written by that connection.
func TestOnFarewellThatReturnsBehindTheUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &store{t: t}
		d := &middleware.Drainer{Policy: policy.Rule{Kind: policy.Infinite, Timeout: 5 * time.Second}}
		asked, returned := make(chan struct{}), make(chan struct{})
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			stream.OnFarewell(r.Context(), func(time.Duration) policy.Farewell {
				close(asked)
				<-returned
				time.Sleep(time.Second)
				return policy.Farewell{Reason: "moved"}
			})
			<-asked
			pumps(s)(w, r)
		}))
		r := serveWrapped(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r)
			close(returned)
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
		assert.Equal(t, &websocket.CloseError{Code: websocket.CloseServiceRestart, Text: "moved"}, closeOf(t, err))
		assert.EqualValues(t, 1, r.endsAfter(time.Second).Told)
	})
}

// A brokenPipe is a ResponseWriter whose client has left.
type brokenPipe struct{ *httptest.ResponseRecorder }

func (brokenPipe) FlushError() error { return syscall.EPIPE }

// A client that has left wasn't told, though the stream's farewell was asked for twice: before it
// was tagged finite, and after.
func TestFarewellAskedForTwiceKeepsItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 5 * time.Second}}
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			stream.OnFarewell(r.Context(), func(time.Duration) (f policy.Farewell) {
				time.Sleep(time.Second) // it must not, but a busy machine may
				return f
			})
			startEvents(w, hello)
			<-d.Draining()
			time.Sleep(200 * time.Millisecond)
			stream.Tag(r.Context(), policy.Finite)
			time.Sleep(200 * time.Millisecond)
			stream.Tag(r.Context(), policy.Infinite)
			<-r.Context().Done()
		}))
		go h.ServeHTTP(brokenPipe{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/", nil))
		synctest.Wait()
		assert.NoError(t, d.Shutdown(context.Background()))
		assert.Equal(t, middleware.Outcomes{Completed: 1}, d.Report().Outcomes)
	})
}
