package middleware_test

import (
	"compress/gzip"
	"context"
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

// busy is a handler whose /busy keeps a drain going for ten seconds, and whose
// other paths answer at once.
func busy() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/busy", func(http.ResponseWriter, *http.Request) { time.Sleep(10 * time.Second) })
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") })
	return mux
}

func TestLateRequestsAreRefusedHonestly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Reconnect: policy.Window{Min: 1500 * time.Millisecond, Max: 1500 * time.Millisecond}}}
		r := serve(t, d, busy())
		going := r.later("/busy")
		r.drain()
		time.Sleep(time.Second)

		res := r.get("/late")
		assert.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
		assert.Equal(t, "2", res.Header.Get("Retry-After"), "whole seconds, and not before the slot")
		assert.True(t, res.Close, "Connection: close")

		// Any other status and a browser's EventSource gives up for good.
		res = r.get("/late", "Accept", "text/event-stream")
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

		report := r.ended(10 * time.Second)
		assert.EqualValues(t, 3, report.Refused)
		assert.Equal(t, http.StatusOK, (<-going).StatusCode)
	})
}

func TestRefusalOfTheUsersOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Refusal: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "moved to "+r.URL.Path, http.StatusMisdirectedRequest)
		})}
		r := serve(t, d, busy())
		going := r.later("/busy")
		r.drain()
		res := r.get("/late")
		assert.Equal(t, http.StatusMisdirectedRequest, res.StatusCode)
		assert.True(t, res.Close, "Connection: close")
		report := r.ended(10 * time.Second)
		assert.EqualValues(t, 1, report.Refused)
		<-going
	})
}

func TestAnnouncing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Budget: policy.Budget{Announce: 3 * time.Second}}
		mux := http.NewServeMux()
		mux.Handle("GET /readyz", d.Readiness())
		mux.Handle("/", busy())
		r := serve(t, d, mux)
		res := r.get("/readyz")
		assert.Equal(t, http.StatusOK, res.StatusCode)
		assert.False(t, res.Close)
		going := r.later("/busy")
		stream := r.get("/stream") // ends at once, so that its connection idles
		assert.False(t, stream.Close)
		r.drain()
		assert.Equal(t, middleware.Announcing, d.Report().Phase)
		assert.Equal(t, http.StatusServiceUnavailable, r.get("/readyz").StatusCode, "from the drain's first moment")
		res = r.get("/late")
		assert.Equal(t, http.StatusOK, res.StatusCode, "still serving")
		assert.True(t, res.Close, "Connection: close")
		time.Sleep(3*time.Second - time.Millisecond)
		assert.Equal(t, http.StatusOK, r.get("/late").StatusCode)
		time.Sleep(2 * time.Millisecond)
		assert.Equal(t, http.StatusServiceUnavailable, r.get("/late").StatusCode)
		assert.Equal(t, middleware.Draining, d.Report().Phase)
		report := r.ended(10 * time.Second)
		assert.Equal(t, http.StatusOK, (<-going).StatusCode)
		assert.EqualValues(t, 2, report.Before.All())
		assert.EqualValues(t, 4, report.Completed, "what came while announcing is the drain's")
	})
}

// The last phase of all has no announcement: a second signal cuts it short.
func TestCloseWhileAnnouncing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Budget: policy.Budget{Announce: 10 * time.Second}}
		r := serve(t, d, ticks(nil))
		res := r.get("/")
		r.drain()
		time.Sleep(time.Second)
		assert.NoError(t, d.Close())
		_, err := io.ReadAll(res.Body)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
		report := r.ended(time.Second)
		assert.EqualValues(t, 1, report.Cut)
	})
}

func TestReadinessOutside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{}
		mux := http.NewServeMux()
		mux.Handle("GET /readyz", d.Readiness())
		mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
		mux.Handle("/", middleware.Graceful(d)(busy()))
		r := serveAll(t, d, mux)
		going := r.later("/busy")
		r.drain()
		time.Sleep(time.Second)
		assert.Equal(t, http.StatusServiceUnavailable, r.get("/readyz").StatusCode)
		assert.Equal(t, http.StatusOK, r.get("/healthz").StatusCode)
		report := r.ended(10 * time.Second)
		assert.Zero(t, report.Refused)
		<-going
	})
}

// The refused connection of a drain that ended is closed, not left to a poll.
func TestSilentConnectionsHoldUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := serve(t, &middleware.Drainer{}, busy())
		c, err := r.net.Dial(context.Background(), "", "")
		require.NoError(t, err)
		defer c.Close()
		r.drain()
		r.ended(0) // http.Server.Shutdown alone takes more than five seconds for it
	})
}

// compressed is as gorilla/handlers' CompressHandler, which says what it will do
// to the body before the handler has said what that is.
func compressed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		zipped := gzip.NewWriter(w)
		defer func() { _ = zipped.Close() }()
		next.ServeHTTP(writingTo{w, zipped}, r)
	})
}

type writingTo struct {
	http.ResponseWriter
	to io.Writer
}

func (w writingTo) Write(p []byte) (int, error) { return w.to.Write(p) }

// What we say in a handler's place can be read behind who encodes it.
func TestAnswersBehindACompressor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Grace: 5 * time.Second}}
		r := serveAll(t, d, compressed(middleware.Graceful(d)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}))))
		cancelled := r.later("/")
		r.drain()
		for accept, want := range map[string]string{
			"*/*": "the server is shutting down; please retry\n", "text/event-stream": "retry: ",
		} {
			body, err := io.ReadAll(r.get("/late", "Accept", accept).Body) // the client decodes it
			require.NoError(t, err)
			assert.Contains(t, string(body), want)
		}
		r.ended(5 * time.Second)
		a := <-cancelled
		assert.Equal(t, http.StatusServiceUnavailable, a.StatusCode)
		assert.Equal(t, "the server is shutting down; please retry\n", a.body)
	})
}
