package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// runClient runs one client against a server that handles its request with h.
func runClient(t *testing.T, run client, h http.HandlerFunc) (r result, received bool, err error) {
	srv := httptest.NewServer(h)
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	results, err := runClients(ctx, srv.URL, []client{func(
		ctx context.Context, c *http.Client, base string, report func(),
	) (result, error) {
		return run(ctx, c, base, func() { received = true; report() })
	}}, func() {})
	return results[0], received, err
}

// sending writes parts and then breaks the body off, or ends it.
func sending(broken bool, parts ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, part := range parts {
			fmt.Fprint(w, part)
			_ = http.NewResponseController(w).Flush()
		}
		if broken {
			panic(http.ErrAbortHandler)
		}
	}
}

func TestEventStreamClients(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    string
		retry   time.Duration
	}{
		"told": {
			sending(false, "data: {}\n\n", "retry: 1500\nevent: shutdown\ndata: {\"retry\":1500}\n\n"),
			`event "shutdown", clean end`, 1500 * time.Millisecond,
		},
		"told, then broken off": {
			sending(true, "data: {}\n\n", "retry: 1500\nevent: shutdown\ndata: x\n\n"),
			`event "shutdown", cut off: unexpected EOF`, 1500 * time.Millisecond,
		},
		"broken off":         {sending(true, "data: {}\n\n"), `no last event, cut off: unexpected EOF`, 0},
		"ended, but untold":  {sending(false, "id: 1\ndata: {}\n\n", ": bye\n\n"), `no last event, clean end`, 0},
		"unfinished":         {sending(false, "data: {}\n\n", "event: shutdown\ndata: x\n"), `no last event, cut off: unfinished event`, 0},
		"torn":               {sending(false, "data: {}\n\n", "event: shut"), `no last event, cut off: unfinished event`, 0},
		"CRLF":               {sending(false, "event: done\r\ndata: x\r\n\r\n"), `event "done", clean end`, 0},
		"event without data": {sending(false, "data: {}\n\n", "event: shutdown\n\n"), `no last event, cut off: unfinished event`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, received, err := runClient(t, dashboardClient, c.handler)
			require.NoError(t, err)
			assert.True(t, received)
			assert.Equal(t, c.want, s.outcome())
			assert.Equal(t, c.retry, s.retry)
			assert.NotZero(t, s.endedAt)
		})
	}
}

func TestDownloadClient(t *testing.T) {
	whole := make([]byte, 5000)
	fill(whole, 0)
	wrong := append([]byte{}, whole...)
	wrong[4000] ^= 1
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"whole":     {sending(false, string(whole)), "5000 bytes, clean end"},
		"truncated": {sending(true, string(whole)), "truncated, cut off: unexpected EOF"},
		"wrong":     {sending(false, string(whole[:2000]), string(wrong[2000:])), "truncated, cut off: wrong content after byte "},
	} {
		t.Run(name, func(t *testing.T) {
			s, received, err := runClient(t, downloadClient, c.handler)
			require.NoError(t, err)
			assert.True(t, received)
			assert.Contains(t, s.outcome(), c.want)
		})
	}
}

func TestWebSocketClients(t *testing.T) {
	ending := func(end func(*websocket.Conn)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			conn, err := new(websocket.Upgrader).Upgrade(w, r, nil)
			if err != nil {
				return
			}
			defer conn.Close()
			_ = conn.WriteMessage(websocket.TextMessage, []byte("hello"))
			end(conn)
		}
	}
	closing := func(code int, reason string) http.HandlerFunc {
		return ending(func(conn *websocket.Conn) {
			_ = conn.WriteMessage(websocket.TextMessage, []byte("bye"))
			_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(time.Second))
			for {
				if _, _, err := conn.ReadMessage(); err != nil {
					return
				}
			}
		})
	}
	for _, run := range []client{chatListener, chatSpeaker} {
		s, received, err := runClient(t, run, closing(1012, "restarting; retry=2345"))
		require.NoError(t, err)
		assert.True(t, received)
		assert.Equal(t, `close 1012 "restarting; retry=…"`, s.outcome())
		assert.Equal(t, 2345*time.Millisecond, s.retry)
		assert.Equal(t, "bye", s.last)

		s, _, err = runClient(t, run, closing(1005, ""))
		require.NoError(t, err)
		assert.Equal(t, `close 1005 ""`, s.outcome())

		s, _, err = runClient(t, run, ending(func(*websocket.Conn) {}))
		require.NoError(t, err)
		assert.Equal(t, "1006, no close frame", s.outcome())
		assert.Zero(t, s.retry)
	}
}

func TestClientsThatAreRefused(t *testing.T) {
	refuse := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) }
	endAtOnce := func(http.ResponseWriter, *http.Request) {}
	for i, run := range mixedClients(10) {
		for _, h := range []http.HandlerFunc{refuse, endAtOnce} {
			_, received, err := runClient(t, run, h)
			assert.Error(t, err, "client %d", i)
			assert.False(t, received, "client %d", i)
		}
	}
}

func TestFirstClientThatFailsEndsTheOthers(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/download" {
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		}
		<-r.Context().Done()
	}))
	defer srv.Close()
	ready := 0
	_, err := runClients(t.Context(), srv.URL, []client{dashboardClient, answerClient, downloadClient}, func() { ready++ })
	assert.ErrorContains(t, err, "download client: GET")
	assert.Equal(t, 1, ready)
}
