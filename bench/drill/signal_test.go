package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"

	"github.com/lastcall-go/lastcall/internal/request"
)

func TestSignal(t *testing.T) {
	t.Parallel()
	_, out := judged(t, "ends well", "-signal", "QUIT") // which it doesn't catch
	assert.Contains(t, out, "SIGQUIT ")
	assert.Contains(t, out, "the process ended with exit status 2")

	var log bytes.Buffer
	assert.Equal(t, exitCannotJudge, run(t.Context(), []string{"-signal", "FOO", "--", "x"}, io.Discard, &log))
	assert.Contains(t, log.String(), `-signal is "FOO": use`)
}

func TestCloseFrameWithinAnother(t *testing.T) {
	closeFrame := "\x88\x02\x03\xe9" // 1001
	for message, want := range map[string]bool{
		"":                          false,
		"half a mess":               false,
		"half a mess" + closeFrame:  true,
		"\x88\x05\x03\xf4bye":       true,
		"half" + closeFrame + "age": false,
		"half\x88\x02\x00\x01":      false,
	} {
		var end lastBytes
		for _, b := range []byte(message) {
			_, _ = end.Write([]byte{b})
		}
		assert.Equal(t, want, end.isClose(), "%q", message)
	}

	var upgrader websocket.Upgrader
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn, err := upgrader.Upgrade(w, r, nil); err == nil {
			_, _ = conn.NetConn().Write([]byte("\x81\x7dhalf a mess" + closeFrame)) // of 125 bytes
			conn.Close()
		}
	}))
	defer server.Close()
	j := &judge{ctx: t.Context(), config: config{url: urlOf(server)}, score: newScore(config{})}
	j.score.begin("under load")
	c := j.open(&route{Request: request.Request{Method: http.MethodGet, Path: "/"}, socket: true}, false)
	<-c.done
	j.judgeSocket(c)
	assert.Equal(t, 1, j.score.failed["4.2"], c.outcome())
}

func TestRoutesAreAskedOfTheURLsHost(t *testing.T) {
	server := httptest.NewServer(nil)
	defer server.Close()
	j := &judge{ctx: t.Context(), config: config{url: urlOf(server)}}
	var upgrader websocket.Upgrader
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if "http://"+r.Host == server.URL {
			if conn, err := upgrader.Upgrade(w, r, nil); err == nil {
				conn.Close()
			}
		}
	})
	assert.True(t, j.isSocket(request.Request{Method: http.MethodGet, Path: "/"}))
}

func urlOf(s *httptest.Server) url.URL {
	return url.URL{Scheme: "http", Host: s.Listener.Addr().String()}
}
