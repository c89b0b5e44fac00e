package recipes

import (
	"bytes"
	"log"
	"net/http"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/middleware"
)

// The close frame with which a client answers the drain's own is no error. As gorilla's example has
// the list of codes, it is.
func TestReadPump(t *testing.T) {
	var logged bytes.Buffer
	before := log.Writer()
	log.SetOutput(&logged)
	defer log.SetOutput(before)

	read := make(chan error, 1)
	d := &middleware.Drainer{}
	s := harness.Serve(t, "127.0.0.1:0", false, middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := new(websocket.Upgrader).Upgrade(w, r, nil)
		if err != nil {
			return
		}
		conn.SetCloseHandler(func(code int, text string) error {
			read <- &websocket.CloseError{Code: code, Text: text}
			return nil
		})
		readPump(conn, func([]byte) {})
	})), d)
	conn, res, err := websocket.DefaultDialer.Dial("ws"+s.URL("/")[len("http"):], nil)
	require.NoError(t, err)
	_ = res.Body.Close()
	defer conn.Close()
	s.Stop()
	_, _, err = conn.ReadMessage() // answers the close frame
	assert.True(t, websocket.IsCloseError(err, websocket.CloseServiceRestart), "%v", err)
	s.Drain(t)
	assert.Empty(t, logged.String())
	assert.EqualValues(t, 1, d.Report().Told)
	assert.True(t, websocket.IsUnexpectedCloseError(<-read, websocket.CloseGoingAway, websocket.CloseAbnormalClosure))
}
