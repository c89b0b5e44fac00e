package middleware_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/internal/memnet"
	"github.com/lastcall-go/lastcall/middleware"
	"github.com/lastcall-go/lastcall/policy"
	"github.com/lastcall-go/lastcall/stream"
)

// hijackedOn returns what a handler under d gets for the connections of l that it hijacks, with the
// response that each belongs to, and what the client has.
func hijackedOn(t *testing.T, d *middleware.Drainer, l net.Listener, dial func() (net.Conn, error)) (handle, client net.Conn, r *stream.Response) {
	t.Helper()
	handles, responses := make(chan net.Conn, 1), make(chan *stream.Response, 1)
	srv := httptest.NewUnstartedServer(middleware.Graceful(d)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if assert.NoError(t, err) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			handles <- c
			responses <- stream.From(r.Context())
		}
	})))
	_ = srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	t.Cleanup(srv.Close)
	client, err := dial()
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	_, err = io.WriteString(client, "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
	require.NoError(t, err)
	_, err = io.ReadFull(client, make([]byte, len("HTTP/1.1 200 OK\r\n\r\n")))
	require.NoError(t, err)
	handle = <-handles
	t.Cleanup(func() { handle.Close() })
	return handle, client, <-responses
}

func loopback(t *testing.T) (net.Listener, func() (net.Conn, error)) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return l, func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }
}

// optional are the methods that code asks a connection for, beyond net.Conn's.
func optional(c net.Conn) (has string) {
	if _, ok := c.(interface{ CloseRead() error }); ok {
		has += "CloseRead "
	}
	if _, ok := c.(interface{ CloseWrite() error }); ok {
		has += "CloseWrite "
	}
	if _, ok := c.(io.ReaderFrom); ok {
		has += "ReadFrom "
	}
	if _, ok := c.(io.WriterTo); ok {
		has += "WriteTo "
	}
	if _, ok := c.(syscall.Conn); ok {
		has += "SyscallConn "
	}
	return strings.TrimSpace(has)
}

// partly is a connection that has some of the methods only.
type partly struct {
	net.Conn
	io.ReaderFrom
	io.WriterTo
}

type listenerOf struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (l listenerOf) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.wrap(c), nil
}

func TestHijackedConnectionHasWhatTheInnerOneHas(t *testing.T) {
	certified := httptest.NewTLSServer(nil)
	certified.Close()
	for want, listen := range map[string]func() (net.Listener, func() (net.Conn, error)){
		"CloseRead CloseWrite ReadFrom WriteTo SyscallConn": func() (net.Listener, func() (net.Conn, error)) { return loopback(t) },
		"CloseRead CloseWrite SyscallConn": func() (net.Listener, func() (net.Conn, error)) {
			name := filepath.Join(t.TempDir(), "socket")
			l, err := net.Listen("unix", name)
			require.NoError(t, err)
			return l, func() (net.Conn, error) { return net.Dial("unix", name) }
		},
		"CloseWrite": func() (net.Listener, func() (net.Conn, error)) {
			l, dial := loopback(t)
			return tls.NewListener(l, certified.TLS), func() (net.Conn, error) {
				c, err := dial()
				return tls.Client(c, &tls.Config{InsecureSkipVerify: true}), err
			}
		},
		"ReadFrom WriteTo": func() (net.Listener, func() (net.Conn, error)) {
			l, dial := loopback(t)
			return listenerOf{l, func(c net.Conn) net.Conn { return partly{c, c.(io.ReaderFrom), c.(io.WriterTo)} }}, dial
		},
		"": func() (net.Listener, func() (net.Conn, error)) {
			n := memnet.New()
			return n, func() (net.Conn, error) { return n.Dial(context.Background(), "", "") }
		},
	} {
		t.Run(want, func(t *testing.T) {
			l, dial := listen()
			handle, _, _ := hijackedOn(t, &middleware.Drainer{}, l, dial)
			assert.Equal(t, want, optional(handle))
			assert.Equal(t, want, optional(handle.(interface{ NetConn() net.Conn }).NetConn()))
		})
	}
}

// A proxy passes half-closes on in both directions.
func TestHalfClosesOfATunnelPass(t *testing.T) {
	l, dial := loopback(t)
	handle, client, _ := hijackedOn(t, &middleware.Drainer{}, l, dial)
	require.NoError(t, handle.(interface{ CloseWrite() error }).CloseWrite())
	rest, err := io.ReadAll(client)
	assert.NoError(t, err)
	assert.Empty(t, rest)
	_, err = io.WriteString(client, "still")
	require.NoError(t, err)
	got := make([]byte, 5)
	_, err = io.ReadFull(handle, got)
	require.NoError(t, err)
	assert.Equal(t, "still", string(got))
	require.NoError(t, handle.(interface{ CloseRead() error }).CloseRead())
	rest, err = io.ReadAll(handle)
	assert.NoError(t, err)
	assert.Empty(t, rest)
}

// What the kernel copies by itself counts as it goes, and the cut ends it.
func TestKernelCopyCountsAndIsCut(t *testing.T) {
	for name, toClient := range map[string]bool{"ReadFrom": true, "WriteTo": false} {
		t.Run(name, func(t *testing.T) {
			d := &middleware.Drainer{Policy: policy.Rule{Timeout: time.Millisecond, Mercy: 10 * time.Millisecond}}
			l, dial := loopback(t)
			handle, client, r := hijackedOn(t, d, l, dial)
			other, dial := loopback(t)
			defer other.Close()
			upstream, err := dial()
			require.NoError(t, err)
			defer upstream.Close()
			server, err := other.Accept()
			require.NoError(t, err)
			defer server.Close()

			from, to := client, server
			if toClient {
				from, to = server, client
			}
			copied := make(chan int64)
			go func() {
				var n int64
				if toClient {
					n, _ = handle.(io.ReaderFrom).ReadFrom(upstream)
				} else {
					n, _ = handle.(io.WriterTo).WriteTo(upstream)
				}
				copied <- n
			}()
			const idle = 50 * time.Millisecond
			sent := 0
			for range 3 {
				require.Eventually(t, func() bool { return r.Idle() > idle }, 10*time.Second, time.Millisecond)
				require.Eventually(t, func() bool {
					_, err := from.Write([]byte{1})
					require.NoError(t, err)
					_, err = io.ReadFull(to, make([]byte, 1))
					require.NoError(t, err)
					sent++
					return r.Idle() < idle
				}, 10*time.Second, time.Millisecond)
			}
			_ = d.Close()
			if toClient {
				server.Close() // the copy waits for what comes from there
			}
			assert.EqualValues(t, sent, <-copied)
			handle.Close()
			report := d.Report()
			assert.EqualValues(t, 1, report.Cut, "%+v", report)
		})
	}
}
