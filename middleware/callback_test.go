package middleware_test

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// A panickingHandler is a slog handler that can't cope with what it gets.
type panickingHandler struct{ slog.Handler }

func (panickingHandler) Enabled(context.Context, slog.Level) bool  { return true }
func (panickingHandler) Handle(context.Context, slog.Record) error { panic("no log") }

// A Logger that panics costs its lines, and neither the process nor the drain.
func TestLoggerThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &middleware.Drainer{Logger: slog.New(panickingHandler{slog.DiscardHandler}), Policy: policy.Rule{Timeout: 2 * time.Second}}
		release := make(chan struct{})
		mux := http.NewServeMux()
		mux.Handle("/stream", ticks(nil))
		mux.HandleFunc("/deaf", func(http.ResponseWriter, *http.Request) { <-release })
		r := serve(t, d, mux)
		stuck := r.stuck("/stream")
		defer stuck.Close()
		healthy, deaf := r.getAsync("/stream"), r.getAsync("/deaf")
		r.drain()
		_, err := r.end()
		assert.ErrorContains(t, err, "1 still running")
		assert.Contains(t, (<-healthy).body, "event: shutdown")
		close(release)
		<-deaf
		synctest.Wait()
	})
}

// A wrapped writer whose Write panics, which the drain calls for the farewell, is the program's.
func TestWriterThatPanicsUnderTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d := &middleware.Drainer{Logger: slog.New(slog.NewTextHandler(&log, nil))}
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusOK)
			<-r.Context().Done()
		}))
		returned := make(chan struct{})
		go func() {
			defer close(returned)
			h.ServeHTTP(panickingWriter{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/", nil))
		}()
		synctest.Wait()
		require.NoError(t, d.Shutdown(context.Background()))
		<-returned
		assert.Contains(t, log.String(), "no writer")
		assert.EqualValues(t, 1, d.Report().All())
	})
}

type panickingWriter struct{ *httptest.ResponseRecorder }

func (panickingWriter) Write([]byte) (int, error) { panic("no writer") }

// A connection whose Close panics, which the cut calls, is the program's.
func TestConnectionThatPanicsUnderTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		d := &middleware.Drainer{Logger: slog.New(slog.NewTextHandler(&log, nil)), Policy: policy.Rule{Grace: policy.AtOnce}}
		h := middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			require.NoError(t, err)
			<-r.Context().Done()
			time.Sleep(1500 * time.Millisecond) // past the cut
			assert.NoError(t, c.Close())
		}))
		here, there := net.Pipe()
		defer there.Close()
		go h.ServeHTTP(hijackableWriter{httptest.NewRecorder(), &panickingConn{Conn: here}}, httptest.NewRequest(http.MethodGet, "/", nil))
		synctest.Wait()
		require.NoError(t, d.Shutdown(context.Background()))
		assert.Contains(t, log.String(), "no close")
		assert.EqualValues(t, 1, d.Report().Cut)
	})
}

type hijackableWriter struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (h hijackableWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReader(h.conn), bufio.NewWriter(h.conn)), nil
}

// A panickingConn panics at its first Close.
type panickingConn struct {
	net.Conn
	closed atomic.Bool
}

func (c *panickingConn) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		panic("no close")
	}
	return c.Conn.Close()
}
