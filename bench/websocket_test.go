package bench

import (
	"encoding/binary"
	"net/http"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/lastcall-go/lastcall/bench/pair"
)

// echo is the handler of gorilla's own example.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	var upgrader websocket.Upgrader
	c, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	for {
		kind, message, err := c.ReadMessage()
		if err != nil || c.WriteMessage(kind, message) != nil {
			return
		}
	}
})

const upgrade = "GET / HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// frame returns a binary message in one frame (RFC 6455, section 5.2), with a mask as a client
// sends it or without.
func frame(size int, masked bool) []byte {
	const final, binaryMessage = 0x80, 0x2
	f := []byte{final | binaryMessage}
	switch {
	case size < 126:
		f = append(f, byte(size))
	case size < 1<<16:
		f = binary.BigEndian.AppendUint16(append(f, 126), uint16(size))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 127), uint64(size))
	}
	if masked {
		f[1] |= 0x80
		f = append(f, 0x12, 0x34, 0x56, 0x78)
	}
	return append(f, make([]byte, size)...)
}

// echoes is a variant that lets h echo messages of a size.
func echoes(h http.Handler, size int) pair.Variant {
	message, reply := frame(size, true), len(frame(size, false))
	return func(tb testing.TB) func(int) {
		addr := serve(tb, h)
		return inParallel(func(int) *peer { return echoing(tb, addr, message, reply) })
	}
}

// echoing returns a peer whose messages come back.
func echoing(tb testing.TB, addr string, message []byte, reply int) *peer {
	p := dial(tb, addr, upgrade)
	p.header(tb, http.StatusSwitchingProtocols)
	p.prompt, p.reply = func() { p.send(message) }, reply
	return p
}

// BenchmarkWebSocket measures a gorilla echo over loopback.
func BenchmarkWebSocket(b *testing.B) {
	for _, size := range sizes {
		b.Run(size.name, func(b *testing.B) {
			pair.Compare(b, pair.Turn, 2*size.bytes, echoes(echo, size.bytes), echoes(graceful(echo), size.bytes))
		})
	}
}
