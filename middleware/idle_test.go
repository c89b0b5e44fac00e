package middleware_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
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
