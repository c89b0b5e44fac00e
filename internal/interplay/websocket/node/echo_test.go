package node

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/websocket/echo"
	"github.com/lastcall-go/lastcall/middleware"
)

var (
	upgrader    = &gorilla.Upgrader{EnableCompression: true}
	gorillaEcho = echo.Gorilla(upgrader)
	coderEcho   = echo.Coder(&coder.AcceptOptions{CompressionMode: coder.CompressionContextTakeover})
)

func serve(t *testing.T, h http.Handler) (url string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return "ws" + strings.TrimPrefix(s.URL, "http")
}

// TestEcho has the client send everything that the protocol knows, right and wrong, to a bare
// server and to a wrapped one. What it sees has to be the same.
func TestEcho(t *testing.T) {
	for name, echo := range map[string]http.HandlerFunc{"gorilla": gorillaEcho, "coder": coderEcho} {
		t.Run(name, func(t *testing.T) {
			results := func(h http.Handler) (all []Result) {
				client.Run(t, func(r Result) { all = append(all, r) }, "echo", serve(t, h))
				return all
			}
			bare := results(echo)
			var d middleware.Drainer
			wrapped := results(middleware.Graceful(&d)(echo))
			require.NoError(t, d.Shutdown(t.Context()))
			assert.Equal(t, bare, wrapped)
			// Plain and deflated: the extensions, 37 messages, the close, and 32 other ends.
			assert.Len(t, wrapped, 2*(1+37+1+32))
			assert.EqualValues(t, 2*(1+32), d.Report().Before.All(), "connections")
			t.Logf("%d results, equal", len(wrapped))
		})
	}
}
