package middleware_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// Over HTTP/2 and TLS an event stream is told and ends, a finite response completes, and late
// requests are refused.
func TestDrainOverHTTP2(t *testing.T) {
	d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce}}
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.Handle("GET /stream", ticks(nil))
	mux.HandleFunc("GET /finite", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		<-release
		_, _ = io.WriteString(w, "last")
	})
	ts := httptest.NewUnstartedServer(middleware.Graceful(d)(mux))
	ts.EnableHTTP2 = true
	ts.StartTLS()
	defer ts.Close()
	get := func(path string, fields ...string) *http.Response {
		req, err := http.NewRequest(http.MethodGet, ts.URL+path, nil)
		require.NoError(t, err)
		setFields(req, fields)
		res, err := ts.Client().Do(req)
		require.NoError(t, err)
		require.Equal(t, 2, res.ProtoMajor)
		t.Cleanup(func() { res.Body.Close() })
		return res
	}
	events, finite := get("/stream", asEventSource...), get("/finite")
	first := make([]byte, 4)
	_, err := io.ReadFull(events.Body, first)
	require.NoError(t, err)
	d.Start()
	body, err := io.ReadAll(events.Body)
	assert.NoError(t, err, "a clean end of the stream")
	assert.Regexp(t, `(?s)event: shutdown\ndata: .*\n\n$`, string(body))
	assert.Equal(t, http.StatusServiceUnavailable, get("/late").StatusCode)
	close(release)
	body, err = io.ReadAll(finite.Body)
	assert.NoError(t, err)
	assert.Equal(t, "first last", string(body))
	assert.NoError(t, d.Shutdown(context.Background()))
	r := d.Report()
	assert.EqualValues(t, 1, r.Told)
	assert.EqualValues(t, 1, r.Completed)
}

func TestCutOverHTTP2ResetsTheStream(t *testing.T) {
	d := &middleware.Drainer{Policy: policy.Rule{Grace: policy.AtOnce, Mercy: policy.AtOnce}}
	deaf := make(chan struct{})
	ts := httptest.NewUnstartedServer(middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		<-deaf
	})))
	ts.EnableHTTP2 = true
	ts.StartTLS()
	defer ts.Close()
	res, err := ts.Client().Get(ts.URL)
	require.NoError(t, err)
	defer res.Body.Close()
	d.Start()
	_, err = io.ReadAll(res.Body)
	assert.ErrorContains(t, err, "INTERNAL_ERROR", "the stream is reset, though its handler does nothing")
	close(deaf)
	assert.NoError(t, d.Shutdown(context.Background()))
	assert.EqualValues(t, 1, d.Report().Cut)
}
