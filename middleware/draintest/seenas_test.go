package draintest

import (
	"net/http"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/middleware"
)

// A drill's log says what each route was taken for, so that a misspelt one is seen.
func TestSeenAs(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		if c, err := new(websocket.Upgrader).Upgrade(w, r, nil); err == nil {
			c.Close()
		}
	})
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("POST /call", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	})
	for route, want := range map[string]string{
		"/ws":         "a WebSocket",
		"GET /events": "a stream",
		"POST /call\nContent-Type: application/grpc": "a call of gRPC",
		"GET /evnts": "an answer with status 404",
	} {
		d := &drill{t: t, start: func(testing.TB, *middleware.Drainer) http.Handler { return mux }}
		d.route, d.call = d.parse(route)
		d.run()
		assert.Equal(t, want, d.seenAs(), route)
	}
}
