package middleware_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// What a handler makes of its request's method changes nothing of the response:
// net/http goes by the method that came.
func TestMethodThatTheHandlerChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{Policy: policy.Rule{Grace: 2 * time.Second}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Method = http.MethodHead
			_, _ = io.WriteString(w, "half of it")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}))
		got := r.later("/")
		r.drain()
		report := r.ended(2 * time.Second)
		a := <-got
		assert.ErrorIs(t, a.err, io.ErrUnexpectedEOF, "it is not whole")
		assert.EqualValues(t, 1, report.Cut)
	})
}

// calm has no effect once its connection was hijacked, as many writers of other
// middleware.
type calm struct {
	http.ResponseWriter
	hijacked bool
}

func (w *calm) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.hijacked = true
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

func (w *calm) Flush() {
	if !w.hijacked {
		_ = http.NewResponseController(w.ResponseWriter).Flush()
	}
}

// A connection that was hijacked is a stream, whatever is done to the writer then.
func TestFlushAfterTheHijack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, err := upgrader.Upgrade(w, r, nil)
			if !assert.NoError(t, err) {
				return
			}
			defer c.Close()
			w.(http.Flusher).Flush()
			assert.Equal(t, policy.Infinite, stream.From(r.Context()).Kind())
			_, _, err = c.ReadMessage()
			assert.Error(t, err)
		}))
		r := serveAll(t, d, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(&calm{ResponseWriter: w}, r)
		}))
		c := r.dial("/")
		reading := make(chan error)
		go func() {
			_, _, err := c.ReadMessage()
			reading <- err
		}()
		r.drain()
		assert.Equal(t, websocket.CloseServiceRestart, closeOf(t, <-reading).Code)
		assert.EqualValues(t, 1, told(r.ended(0)))
	})
}
