package websocket

import (
	"net/http"
	"testing"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"

	"github.com/lastcall-go/lastcall/internal/interplay/websocket/echo"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/middleware/draintest"
)

// TestDrill drills handlers of each library that do as they should.
func TestDrill(t *testing.T) {
	handlers := map[string]http.HandlerFunc{
		"gorilla's echo": echo.Gorilla(&gorilla.Upgrader{}),
		"coder's echo":   echo.Coder(&coder.AcceptOptions{}),
		"gobwas's echo":  echo.Gobwas,
	}
	for _, l := range libraries {
		if l.proxies == 0 { // a bubble has no real network
			handlers[l.name] = func(w http.ResponseWriter, r *http.Request) {
				l.serve(w, r, func(c conn) {
					if c.write([]byte("hello")) == nil && c.write([]byte("world")) == nil {
						c.read()
					}
				})
			}
		}
	}
	for name, h := range handlers {
		t.Run(name, func(t *testing.T) {
			draintest.Drill(t, func(testing.TB, *middleware.Drainer) http.Handler { return h }, "/ws\nOrigin: http://draintest.test\n\nhello\nworld")
		})
	}
}
