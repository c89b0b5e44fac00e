package middleware_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// ticks is a handler of an event stream with an event a second, like most.
func ticks(s *store) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		flush := w.(http.Flusher)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			if s != nil {
				s.use()
			}
			if _, err := io.WriteString(w, "data: tick\n\n"); err != nil {
				return
			}
			flush.Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
	}
}

const hello = "data: hello\n\n"

// quiet is a handler of an event stream that says hello and then waits for its context to end.
func quiet(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, hello)
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// startEvents begins an event stream with text, and leaves the rest to its handler.
func startEvents(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, text)
	w.(http.Flusher).Flush()
}

// busy is a handler for a synctest bubble. Its /busy takes ten seconds, and so keeps a drain going.
// Its other paths answer at once.
func busy() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/busy", func(http.ResponseWriter, *http.Request) { time.Sleep(10 * time.Second) })
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") })
	return mux
}

var upgrader websocket.Upgrader

// echo is a handler of WebSockets with gorilla that stays until its connection ends.
func echo(s *store) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			s.t.Error(err)
			return
		}
		defer c.Close()
		for {
			kind, p, err := c.ReadMessage()
			s.use()
			if err != nil || c.WriteMessage(kind, p) != nil {
				return
			}
		}
	}
}

// pumps is gorilla's own pattern: the handler returns at once, two goroutines live on, and the one
// that reads closes the connection.
func pumps(s *store) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			s.t.Error(err)
			return
		}
		send, quit := make(chan []byte, 8), make(chan struct{})
		go func() {
			for {
				select {
				case p := <-send:
					_ = c.WriteMessage(websocket.TextMessage, p)
				case <-quit:
					return
				}
			}
		}()
		go func() {
			defer c.Close()
			defer s.use()
			defer close(quit)
			for {
				_, p, err := c.ReadMessage()
				if err != nil {
					return
				}
				s.use()
				send <- p
			}
		}()
	}
}

func closeOf(t *testing.T, err error) *websocket.CloseError {
	t.Helper()
	var closed *websocket.CloseError
	require.ErrorAs(t, err, &closed)
	return closed
}
