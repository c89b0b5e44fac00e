package recipes

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// The proxy drains in front of a server that goes on: its clients are told, and the server sees
// them leave.
func TestProxy(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/news", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "identity" {
			http.Error(w, "the stream would be compressed", http.StatusNotAcceptable)
			return
		}
		news(w, r)
	})
	asked := make(chan struct{})
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	mux.HandleFunc("/chat", func(w http.ResponseWriter, r *http.Request) {
		conn, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err == nil {
			readPump(conn, func([]byte) {})
		}
	})
	backend := httptest.NewServer(mux)
	defer backend.Close() // waits for its handlers
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	target, err := url.Parse(backend.URL)
	require.NoError(t, err)
	d := &middleware.Drainer{Policy: policy.Rule{Grace: 100 * time.Millisecond}}
	s := harness.Serve(t, "127.0.0.1:0", false, Proxy(d, target), d)

	stream := openEvents(t, s.URL("/news"))
	chat, res, err := websocket.DefaultDialer.Dial("ws"+s.URL("/chat")[len("http"):], nil)
	require.NoError(t, err)
	_ = res.Body.Close()
	defer chat.Close()
	slow := make(chan int)
	go func() {
		status, _, err := get(s.URL("/slow"))
		assert.NoError(t, err)
		slow <- status
	}()
	<-asked
	s.Stop()
	_, _, err = chat.ReadMessage()
	assert.True(t, websocket.IsCloseError(err, websocket.CloseServiceRestart), "%v", err)
	assert.Contains(t, stream.rest(), "event: shutdown\n")
	assert.Equal(t, http.StatusServiceUnavailable, <-slow)
	s.Drain(t)
	report := d.Report()
	assert.EqualValues(t, 2, report.Told, "%+v", report)
	assert.Zero(t, report.Cut, "%+v", report)
}
