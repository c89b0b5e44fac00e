package ws_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/lastcall-go/lastcall/ws"
)

// A middleware that compresses, logs bodies or sets a timeout lets WebSockets pass.
func ExampleRequested() {
	r := httptest.NewRequest("GET", "/chat", nil)
	fmt.Println(ws.Requested(r))
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	fmt.Println(ws.Requested(r))
	// Output:
	// false
	// true
}

// A client of gorilla/websocket has read its last message. With coder/websocket the reason is
// CloseError.Reason.
func ExampleRetry() {
	var err error = &websocket.CloseError{Code: websocket.CloseServiceRestart, Text: "service restart; retry=1234"}

	delay := 5 * time.Second // what it waits for after any other end
	if closed := (*websocket.CloseError)(nil); errors.As(err, &closed) {
		if slot, ok := ws.Retry(closed.Text); ok {
			delay = slot
		}
	}
	fmt.Println("back in", delay)
	// Output: back in 1.234s
}
