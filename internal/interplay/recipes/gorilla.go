package recipes

import (
	"log"

	"github.com/gorilla/websocket"
)

// readPump reads what a client sends until the connection ends, as in gorilla's chat example.
func readPump(conn *websocket.Conn, message func([]byte)) {
	defer conn.Close()
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			if websocket.IsUnexpectedCloseError(err, websocket.CloseGoingAway, websocket.CloseAbnormalClosure,
				websocket.CloseServiceRestart) { // 1012, the drain's code, comes back in the client's answer
				log.Printf("error: %v", err)
			}
			return
		}
		message(text)
	}
}
