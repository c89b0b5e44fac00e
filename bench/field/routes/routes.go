// Package routes has the handlers that the contestants have that serve any http.Handler: what a
// program with net/http has, with no thought for how the server ends but to look at the request's
// context.
package routes

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
)

// The two answers that end by themselves take three seconds each.
const (
	answerLines   = 30
	answerTick    = 100 * time.Millisecond
	downloadParts = 60
	downloadPart  = 20_000
	downloadTick  = 50 * time.Millisecond
	tick          = 100 * time.Millisecond // between two events, and two messages of a WebSocket
)

// Handler serves all of the routes.
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ws", WebSocket)
	mux.HandleFunc("GET /events", Events)
	mux.HandleFunc("GET /answer", Answer)
	mux.HandleFunc("GET /download", Download)
	return mux
}

var upgrader = websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}

// WebSocket sends a message for each tick, and leaves with a Close frame when its context is
// canceled.
func WebSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the client has been told
	}
	defer conn.Close()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
		}
	}()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for n := 1; ; n++ {
		if conn.WriteJSON(map[string]int{"tick": n}) != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-gone:
			return
		case <-r.Context().Done():
			text := websocket.FormatCloseMessage(websocket.CloseGoingAway, "")
			_ = conn.WriteControl(websocket.CloseMessage, text, time.Now().Add(time.Second))
			return
		}
	}
}

// Events sends an event for each tick, for ever.
func Events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	for n := 1; ; n++ {
		fmt.Fprintf(w, "event: tick\ndata: %d\n\n", n)
		if http.NewResponseController(w).Flush() != nil || !pause(r, tick) {
			return
		}
	}
}

// Answer writes line by line.
func Answer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for n := 1; n <= answerLines; n++ {
		fmt.Fprintf(w, "line %d\n", n)
		if http.NewResponseController(w).Flush() != nil || !pause(r, answerTick) {
			return
		}
	}
}

// Download sends what it has said how long it is.
func Download(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(downloadParts*downloadPart))
	part := make([]byte, downloadPart)
	for range downloadParts {
		if _, err := w.Write(part); err != nil || !pause(r, downloadTick) {
			return
		}
	}
}

// pause waits, and reports whether the request goes on.
func pause(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}
