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

// meet sends one guest to a server that does h to it.
func meet(t *testing.T, g guest, h http.HandlerFunc) (s sighting, received bool, err error) {
	srv := httptest.NewServer(h)
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	seen, err := visit(ctx, srv.URL, []guest{func(
		ctx context.Context, c *http.Client, base string, tell func(),
	) (sighting, error) {
		return g(ctx, c, base, func() { received = true; tell() })
	}}, func() {})
	return seen[0], received, err
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
			s, received, err := meet(t, watcher, c.handler)
			require.NoError(t, err)
			assert.True(t, received)
			assert.Equal(t, c.want, s.ending())
			assert.Equal(t, c.retry, s.retry)
			assert.NotZero(t, s.at)
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
			s, received, err := meet(t, downloader, c.handler)
			require.NoError(t, err)
			assert.True(t, received)
			assert.Contains(t, s.ending(), c.want)
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
	for _, g := range []guest{listener, speaker} {
		s, received, err := meet(t, g, closing(1012, "restarting; retry=2345"))
		require.NoError(t, err)
		assert.True(t, received)
		assert.Equal(t, `close 1012 "restarting; retry=…"`, s.ending())
		assert.Equal(t, 2345*time.Millisecond, s.retry)
		assert.Equal(t, "bye", s.last)

		s, _, err = meet(t, g, closing(1005, ""))
		require.NoError(t, err)
		assert.Equal(t, `close 1005 ""`, s.ending())

		s, _, err = meet(t, g, ending(func(*websocket.Conn) {}))
		require.NoError(t, err)
		assert.Equal(t, "1006, no close frame", s.ending())
		assert.Zero(t, s.retry)
	}
}

func TestGuestsWhoDontGetIn(t *testing.T) {
	turnAway := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) }
	endAtOnce := func(http.ResponseWriter, *http.Request) {}
	for i, g := range crowd(10) {
		for _, h := range []http.HandlerFunc{turnAway, endAtOnce} {
			_, received, err := meet(t, g, h)
			assert.Error(t, err, "guest %d", i)
			assert.False(t, received, "guest %d", i)
		}
	}
}

func TestVisitGivesUpWithTheFirstWhoFails(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/download" {
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		}
		<-r.Context().Done()
	}))
	defer srv.Close()
	ready := 0
	_, err := visit(t.Context(), srv.URL, []guest{watcher, asker, downloader}, func() { ready++ })
	assert.ErrorContains(t, err, "download client: GET")
	assert.Equal(t, 1, ready)
}
