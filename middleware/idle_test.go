package middleware_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// What net/http may still hold back has not left.
func TestIdleCountsFromTheLastByteThatLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := middleware.Graceful(&middleware.Drainer{})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			response := stream.From(r.Context())
			time.Sleep(time.Second)
			_, _ = io.WriteString(w, "short")
			assert.Equal(t, time.Second, response.Idle(), "since it began")
			w.(http.Flusher).Flush()
			assert.Zero(t, response.Idle(), "flushed")
			time.Sleep(time.Second)
			_, _ = io.WriteString(w, "short")
			assert.Equal(t, time.Second, response.Idle(), "since the flush")
			_, _ = w.Write(make([]byte, 4<<10))
			assert.Zero(t, response.Idle(), "too much to be held back")
		}))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	})
}

// Writes that are too short to leave by themselves leave once there are many.
func TestManyShortWritesCountAsActivity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			response := stream.From(r.Context())
			for i := range 100 {
				_, _ = w.Write(make([]byte, 100))
				if i < 10 {
					assert.Equal(t, response.Age(), response.Idle(), "they may wait in net/http's buffer")
				}
				time.Sleep(time.Second)
			}
			assert.LessOrEqual(t, response.Idle(), 30*time.Second)
		}))
		<-r.getAsync("/")
		r.drain()
		r.endsAfter(0)
	})
}

// What is read from a hijacked connection, and what is written to it, count as activity.
func TestIdleOfAHijackedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if !assert.NoError(t, err) {
				return
			}
			defer conn.Close()
			response := stream.From(r.Context())
			assert.Equal(t, policy.Infinite, response.Kind())
			time.Sleep(time.Minute)
			assert.Equal(t, time.Minute, response.Idle(), "nothing has gone over it")
			_, _ = io.WriteString(conn, "ping")
			assert.Zero(t, response.Idle(), "written")
			time.Sleep(time.Minute)
			assert.Equal(t, time.Minute, response.Idle())
			_, err = io.ReadFull(conn, make([]byte, 4))
			assert.NoError(t, err)
			assert.Zero(t, response.Idle(), "read")
			time.Sleep(time.Minute)
			assert.NoError(t, conn.SetReadDeadline(time.Now()))
			_, err = conn.Read(make([]byte, 1))
			assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
			assert.Equal(t, time.Minute, response.Idle(), "a read that fails is none")
		}))
		c := r.stuck("/")
		defer c.Close()
		ping := make([]byte, 4)
		_, err := io.ReadFull(c, ping)
		require.NoError(t, err)
		assert.Equal(t, "ping", string(ping))
		_, err = io.WriteString(c, "pong")
		require.NoError(t, err)
		_, err = c.Read(ping)
		assert.ErrorIs(t, err, io.EOF)
		r.drain()
		r.endsAfter(0)
	})
}
