// Command backend is what the proxies stand in front of: the routes, and one more, on which each
// WebSocket message takes a while to arrive, as on a slow line. It isn't stopped while a proxy is
// judged.
package main

import (
	"encoding/binary"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/gorilla/websocket"

	"github.com/lastcall-go/lastcall/bench/field/routes"
)

func main() {
	mux := http.NewServeMux()
	mux.Handle("/", routes.Handler())
	mux.HandleFunc("GET /ws/slow", slow)
	log.Fatal(http.ListenAndServe(os.Args[1], mux))
}

// slow sends frame after frame of 40,000 bytes, in pieces of 2,000.
func slow(w http.ResponseWriter, r *http.Request) {
	conn, err := (&websocket.Upgrader{}).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	const size, piece = 40_000, 2_000
	frame := binary.BigEndian.AppendUint16([]byte{0x80 | websocket.TextMessage, 126}, size)
	for range size {
		frame = append(frame, 'x')
	}
	for {
		for rest := frame; len(rest) > 0; {
			n := min(piece, len(rest))
			if _, err := conn.NetConn().Write(rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
			time.Sleep(10 * time.Millisecond)
		}
	}
}
