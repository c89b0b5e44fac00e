package sse

//lint:file-ignore SA1019 x/net's h2c is still in use

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
)

// TestCoderOverHTTP2 has coder/websocket accept a WebSocket where no connection can be hijacked. It
// answers 501, as long as the writer does not claim to be an http.Hijacker: then it would answer
// 101.
func TestCoderOverHTTP2(t *testing.T) {
	accept := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// HTTP/2 has none of these, and its client may send none.
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Sec-WebSocket-Version", "13")
		r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
		r.ProtoMajor, r.ProtoMinor = 1, 1
		c, err := websocket.Accept(w, r, nil)
		if assert.Error(t, err) {
			return
		}
		c.CloseNow()
	})
	for _, p := range protocols {
		if p.major == 1 {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			get := func(h http.Handler) (int, string) {
				s := serve(t, p, h)
				defer s.close()
				res, err := s.get()
				require.NoError(t, err)
				defer res.Body.Close()
				body, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				return res.StatusCode, string(body)
			}
			bare, text := get(accept)
			status, got := get(middleware.Graceful(new(middleware.Drainer))(accept))
			assert.Equal(t, http.StatusNotImplemented, bare)
			assert.Equal(t, bare, status)
			assert.Equal(t, text, got)
		})
	}
}

// TestAroundH2C drains a Graceful around x/net's h2c handler. For that Graceful all streams of a
// connection are one hijacked connection, into which nothing is written.
func TestAroundH2C(t *testing.T) {
	d := &middleware.Drainer{Policy: policy.Rule{Timeout: policy.AtOnce, Mercy: 50 * time.Millisecond}}
	p := protocols[3]
	p.set = func(s *http.Server) { s.Handler = middleware.Graceful(d)(h2c.NewHandler(s.Handler, new(http2.Server))) }
	s := serve(t, p, http.HandlerFunc(writeByHand))
	res, err := s.get()
	require.NoError(t, err)
	defer res.Body.Close()
	m := newCountdown(0, 20)
	over := make(chan ending, 1)
	go func() {
		e, err := readStream(res.Body, func() { m.count(0, 1) })
		assert.NoError(t, err, "the streams are canceled too, and end before the connection is cut")
		m.stop()
		over <- e
	}()
	m.wait(t)
	report := harness.Shutdown(t, d)
	assert.False(t, (<-over).told)
	assert.Equal(t, 1, report.Found.Other, "%+v", report)
	assert.EqualValues(t, 1, report.Cut, "%+v", report)
	s.close()
}
