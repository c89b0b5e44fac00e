// Package echo has handlers that send back every WebSocket message, one for each of several
// libraries.
package echo

import (
	"context"
	"net/http"
	"unicode/utf8"

	coder "github.com/coder/websocket"
	gobwas "github.com/gobwas/ws"
	gorilla "github.com/gorilla/websocket"
)

// Gorilla returns an echo of gorilla/websocket. It refuses text that is not UTF-8, which gorilla
// leaves to its user.
func Gorilla(u *gorilla.Upgrader) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := u.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer c.Close()
		for {
			kind, p, err := c.ReadMessage()
			if err != nil {
				return
			}
			if kind == gorilla.TextMessage && !utf8.Valid(p) {
				_ = c.WriteMessage(gorilla.CloseMessage, gorilla.FormatCloseMessage(gorilla.CloseInvalidFramePayloadData, ""))
				return
			}
			if c.WriteMessage(kind, p) != nil {
				return
			}
		}
	}
}

// Coder returns an echo of coder/websocket, without a limit on the size of a message.
func Coder(options *coder.AcceptOptions) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := coder.Accept(w, r, options)
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
}

// Gobwas is an echo of gobwas/ws, frame by frame.
func Gobwas(w http.ResponseWriter, r *http.Request) {
	c, _, _, err := gobwas.UpgradeHTTP(r, w)
	if err != nil {
		return
	}
	defer c.Close()
	for {
		f, err := gobwas.ReadFrame(c)
		if err != nil || f.Header.OpCode == gobwas.OpClose {
			return
		}
		f = gobwas.UnmaskFrameInPlace(f)
		if gobwas.WriteFrame(c, gobwas.NewFrame(f.Header.OpCode, true, f.Payload)) != nil {
			return
		}
	}
}
