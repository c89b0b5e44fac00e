package node

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
)

var upgrader = gorilla.Upgrader{EnableCompression: true}

func gorillaEcho(w http.ResponseWriter, r *http.Request) {
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		kind, p, err := c.ReadMessage()
		if err != nil {
			return
		}
		if kind == gorilla.TextMessage && !utf8.Valid(p) { // gorilla leaves this to its user
			_ = c.WriteMessage(gorilla.CloseMessage, gorilla.FormatCloseMessage(gorilla.CloseInvalidFramePayloadData, ""))
			return
		}
		if c.WriteMessage(kind, p) != nil {
			return
		}
	}
}

func coderEcho(w http.ResponseWriter, r *http.Request) {
	c, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: coder.CompressionContextTakeover})
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(-1)
	for {
		kind, p, err := c.Read(context.Background())
		if err != nil || c.Write(context.Background(), kind, p) != nil {
			return
		}
	}
}

func serve(t *testing.T, h http.Handler) (url string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return "ws" + strings.TrimPrefix(s.URL, "http")
}

// TestEcho has the client say all that the protocol knows, right and wrong, to a bare server and a wrapped one, and see
// the same.
func TestEcho(t *testing.T) {
	for name, echo := range map[string]http.HandlerFunc{"gorilla": gorillaEcho, "coder": coderEcho} {
		t.Run(name, func(t *testing.T) {
			said := func(h http.Handler) (all []line) {
				client(t, func(l line) { all = append(all, l) }, "echo", serve(t, h))
				return all
			}
			bare := said(echo)
			var d middleware.Drainer
			wrapped := said(middleware.Graceful(&d)(echo))
			require.NoError(t, d.Shutdown(t.Context()))
			assert.Equal(t, bare, wrapped)
			// 2 ways, each with its extensions, 37 things to say, its close, and 32 ends.
			assert.Len(t, wrapped, 2*(1+37+1+32))
			assert.EqualValues(t, 2*(1+32), d.Report().Before.All(), "connections")
			t.Logf("%d results, equal", len(wrapped))
		})
	}
}
