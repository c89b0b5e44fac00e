package request_test

import (
	"bufio"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/request"
)

func TestParse(t *testing.T) {
	r, err := request.Parse("POST /chat?x=1\nContent-Type: application/json\nX: a\nX: b\n\n{\"a\":\n1}")
	require.NoError(t, err)
	assert.Equal(t, "POST /chat?x=1", r.Name())
	assert.Equal(t, http.Header{"Content-Type": {"application/json"}, "X": {"a", "b"}}, r.Header)
	assert.Equal(t, "POST /chat?x=1 HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nX: a\r\nX: b\r\nContent-Length: 8\r\n\r\n{\"a\":\n1}",
		r.Wire("h", false))
	req := r.HTTP("http://h:1")
	assert.Equal(t, "http://h:1/chat?x=1", req.URL.String())
	body, err := io.ReadAll(req.Body)
	require.NoError(t, err)
	assert.Equal(t, "{\"a\":\n1}", string(body))

	r, err = request.Parse("/ws")
	require.NoError(t, err)
	assert.Equal(t, "GET /ws HTTP/1.1\r\nHost: h\r\n\r\n", r.Wire("h", false))
	asked, err := http.ReadRequest(bufio.NewReader(strings.NewReader(r.Wire("h", true))))
	require.NoError(t, err)
	assert.True(t, websocket.IsWebSocketUpgrade(asked))
	assert.Equal(t, "13", asked.Header.Get("Sec-WebSocket-Version"))
	key, err := base64.StdEncoding.DecodeString(asked.Header.Get("Sec-WebSocket-Key"))
	require.NoError(t, err)
	assert.Len(t, key, 16, "as RFC 6455 (4.1) has it")

	for _, bad := range []string{"", "events", "GET", "GET events", "G ET /", "GET /\nno field", "GE(T /"} {
		_, err := request.Parse(bad)
		assert.ErrorContains(t, err, "is no route", bad)
	}
}
