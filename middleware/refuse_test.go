package middleware_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// A late request gets 503, and an event stream 200 with its reconnect slot: at any other status a
// browser's EventSource gives up for good.
func TestLateRequestsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Reconnect: policy.Window{Min: 1500 * time.Millisecond, Max: 1500 * time.Millisecond}}}
		r := serve(t, d, busy())
		going := r.getAsync("/busy")
		r.drain()
		time.Sleep(time.Second)

		res := r.get("/late")
		assert.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
		assert.Equal(t, "2", res.Header.Get("Retry-After"), "whole seconds, and not before the slot")
		assert.True(t, res.Close, "Connection: close")

		// Any other status and a browser's EventSource gives up for good.
		res = r.open("/late")
		assert.Equal(t, http.StatusOK, res.StatusCode)
		assert.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		assert.Equal(t, "retry: 1500\n\n", string(body))

		dialer := websocket.Dialer{NetDialContext: r.net.Dial}
		_, res, err = dialer.Dial("ws://memory/late", nil)
		require.ErrorIs(t, err, websocket.ErrBadHandshake)
		assert.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
		assert.Equal(t, "2", res.Header.Get("Retry-After"))

		report := r.endsAfter(10 * time.Second)
		assert.EqualValues(t, 3, report.Refused)
		assert.Equal(t, http.StatusOK, (<-going).StatusCode)
	})
}

func TestRefusalReplacesTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Refusal: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "moved to "+r.URL.Path, http.StatusMisdirectedRequest)
		})}
		r := serve(t, d, busy())
		going := r.getAsync("/busy")
		r.drain()
		res := r.get("/late")
		assert.Equal(t, http.StatusMisdirectedRequest, res.StatusCode)
		assert.True(t, res.Close, "Connection: close")
		report := r.endsAfter(10 * time.Second)
		assert.EqualValues(t, 1, report.Refused)
		<-going
	})
}
