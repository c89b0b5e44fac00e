package ws

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lastcall-go/lastcall/internal/format"
)

// Requested reports whether r asks for a WebSocket: over HTTP/1.1 by an upgrade to "websocket" (RFC
// 6455, section 4.2.1), over HTTP/2 by a CONNECT with the :protocol "websocket" (RFC 8441, section
// 4), both in any case. The rest of the handshake is for the WebSocket library to check.
func Requested(r *http.Request) bool { return format.WebSocketUpgrade(r) || format.WebSocketConnect(r) }

// Retry returns the time after which a client should reconnect, from the reason of the Close frame
// that it got. The server sends each client another time, so that they don't all come back at once.
// lastcall's default reason is "service restart; retry=1234", in milliseconds.
//
// Of the words of reason, separated by spaces, commas and semicolons, the first that begins with
// "retry=" counts. Retry returns false if there is none, or if what follows is not a decimal number
// of at most 2147483647 (about 25 days, JavaScript's longest timer).
func Retry(reason string) (time.Duration, bool) {
	separator := func(r rune) bool { return r == ' ' || r == ',' || r == ';' }
	for word := range strings.FieldsFuncSeq(reason, separator) {
		if digits, found := strings.CutPrefix(word, "retry="); found {
			ms, err := strconv.ParseUint(digits, 10, 31)
			return time.Duration(ms) * time.Millisecond, err == nil
		}
	}
	return 0, false
}
