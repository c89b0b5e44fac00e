package websocket

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	gobwas "github.com/gobwas/ws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// extendedConnect is the setting of GODEBUG with which net/http accepts WebSockets over HTTP/2 (RFC
// 8441). It and x/net read the setting once, when the process starts.
const extendedConnect = "http2xconnect=1"

// TestOverHTTP2 drains WebSockets over HTTP/2 in front of the strict client, in a process of its
// own that accepts them. The handlers use gobwas, which reads and writes frames on any connection;
// no library here accepts a WebSocket over HTTP/2.
func TestOverHTTP2(t *testing.T) {
	if !strings.Contains(os.Getenv("GODEBUG"), extendedConnect) {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOverHTTP2$", "-test.v")
		cmd.Env = append(os.Environ(), "GODEBUG="+extendedConnect)
		output, err := cmd.CombinedOutput()
		assert.NoError(t, err, "%s", output)
		assert.Contains(t, string(output), "--- PASS: TestOverHTTP2/")
		return
	}
	reads := func(_ *http.Request, c *gobwasConn) { c.read() }
	rule := policy.Rule{Farewell: policy.Farewell{Code: 4001, Reason: "bye", Message: "last"}}
	short := rule
	short.Timeout, short.Mercy = 200*time.Millisecond, 10*time.Second
	told := func(r middleware.Report) uint64 { return r.Told }
	goodbye := make(chan struct{})
	for name, test := range map[string]struct {
		rule    policy.Rule
		handle  func(*http.Request, *gobwasConn)
		want    string // the last message, empty if there is none
		outcome func(middleware.Report) uint64
		after   <-chan struct{} // what the drain waits for, nil for nothing
	}{
		"idle": {rule, reads, "last", told, nil},
		"writing": {rule, func(_ *http.Request, c *gobwasConn) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				for part := []byte("0123456789"); c.fragments(part, func() bool { return true }) == nil; {
				}
			}()
			c.read() // gobwas answers the Close, which ends the writing
			<-done
		}, "last", told, nil},
		"in the middle of a message that never ends": {short, func(_ *http.Request, c *gobwasConn) {
			assert.NoError(t, c.fragments([]byte("torn"), func() bool { c.read(); return false }))
		}, "", told, nil},
		"its handler leaves": {rule, func(r *http.Request, c *gobwasConn) {
			<-stream.Draining(r.Context())
			assert.NoError(t, c.frame(gobwas.NewCloseFrame(nil)), "discarded")
			c.close()
		}, "last", told, nil},
		"its handler says goodbye first": {short, func(r *http.Request, c *gobwasConn) {
			assert.NoError(t, c.frame(gobwas.NewCloseFrame(gobwas.NewCloseFrameBody(4001, "bye"))))
			close(goodbye)
			c.read()
		}, "", func(r middleware.Report) uint64 { return r.Completed }, goodbye},
	} {
		t.Run(name, func(t *testing.T) {
			d := &middleware.Drainer{Policy: test.rule}
			p := overHTTP2(t, d, test.handle)
			hello, err := readFrame(p.br)
			require.NoError(t, err)
			assert.Equal(t, "hello", string(hello.payload))

			if test.after != nil {
				<-test.after
			}
			d.Start()
			e, err := p.readToClose(func(message) error { return nil })
			assert.NoError(t, err)
			assert.Equal(t, 4001, e.code)
			assert.Equal(t, "bye", e.reason)
			assert.Equal(t, test.want, e.last.data)
			report := harness.Shutdown(t, d)
			assert.Equal(t, middleware.Tally{WebSocket: 1}, report.Found)
			assert.EqualValues(t, 1, test.outcome(report), "%+v", report)
		})
	}
	t.Run("whose client doesn't answer", func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Timeout: 100 * time.Millisecond}}
		p := overHTTP2(t, d, func(r *http.Request, _ *gobwasConn) { <-r.Context().Done() })
		d.Start()
		rest, err := io.ReadAll(p.br)
		assert.NoError(t, err, "the stream ends in order")
		assert.Contains(t, string(rest), "service restart")
		assert.EqualValues(t, 1, harness.Shutdown(t, d).Unanswered)
	})
	t.Run("that is tagged finite, and broken off when its grace is over", func(t *testing.T) {
		d := &middleware.Drainer{Policy: policy.Rule{Kind: policy.Finite, Grace: 100 * time.Millisecond}}
		p := overHTTP2(t, d, func(r *http.Request, _ *gobwasConn) { <-r.Context().Done() })
		d.Start()
		rest, err := io.ReadAll(p.br)
		assert.Error(t, err, "the stream is reset, which no client takes for its end")
		assert.Equal(t, "\x81\x05hello", string(rest), "nothing is ever written into it")
		report := harness.Shutdown(t, d)
		assert.Equal(t, middleware.Tally{Finite: 1}, report.Found)
		assert.EqualValues(t, 1, report.Cut)
	})
}

// overHTTP2 returns the client of a WebSocket over HTTP/2 that handle serves, after a message
// "hello".
func overHTTP2(t *testing.T, d *middleware.Drainer, handle func(*http.Request, *gobwasConn)) *peer {
	s := httptest.NewUnstartedServer(middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "CONNECT HTTP/2.0 websocket", r.Method+" "+r.Proto+" "+r.Header.Get(":protocol"))
		_, _, err := http.NewResponseController(w).Hijack()
		assert.ErrorIs(t, err, http.ErrNotSupported)
		w.WriteHeader(http.StatusOK) // RFC 8441, section 5: no 101
		c := &gobwasConn{Conn: bodies{reader: r.Body, writer: w, flush: http.NewResponseController(w).Flush}}
		assert.NoError(t, c.write([]byte("hello")))
		handle(r, c)
	})))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)

	body, frames := io.Pipe()
	r, err := http.NewRequest(http.MethodConnect, s.URL, body)
	require.NoError(t, err)
	r.Header.Set(":protocol", "websocket")
	r.Header.Set("Sec-WebSocket-Version", "13")
	client := &http2.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(client.CloseIdleConnections)
	res, err := client.RoundTrip(r)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, res.Body.Close()) })
	require.Equal(t, http.StatusOK, res.StatusCode)
	c := bodies{reader: res.Body, writer: frames, flush: func() error { return nil }}
	t.Cleanup(func() { assert.NoError(t, frames.Close()) })
	return &peer{Conn: c, br: bufio.NewReader(c)}
}

// bodies is a connection that reads from one body and writes to another.
type bodies struct {
	net.Conn // nil
	reader   io.ReadCloser
	writer   io.Writer
	flush    func() error
}

func (b bodies) Read(p []byte) (int, error) { return b.reader.Read(p) }
func (b bodies) Close() error               { return b.reader.Close() }

func (b bodies) Write(p []byte) (int, error) {
	n, err := b.writer.Write(p)
	if err != nil {
		return n, err
	}
	return n, b.flush()
}
