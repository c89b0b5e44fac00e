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
// 4), both in any case. It doesn't check the rest of the handshake, which is the library's that
// answers it.
func Requested(r *http.Request) bool { return format.WebSocketUpgrade(r) || format.WebSocketConnect(r) }

// Retry returns the time after which a client should come back, its own reconnect slot, from the
// reason of the Close frame that it was told to go away with. lastcall's default reason is "service
// restart; retry=1234", in milliseconds. Clients that keep to it don't all come back at once.
//
// Of the reason's words, which spaces, commas and semicolons separate, the first that begins with
// "retry=" counts. What follows there must be decimal digits to the word's end, and at most
// 2147483647 (about 25 days, JavaScript's longest timer). Else, and where there is no such word,
// Retry returns false: the client then backs off as it would without.
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
