package harness

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lastcall-go/lastcall/middleware"
)

// A Server is an http.Server on loopback that Drainer.Run serves.
type Server struct {
	Addr    string // host and port
	Drainer *middleware.Drainer
	Done    chan struct{} // closed when Run has returned

	scheme string
	stop   context.CancelFunc
	err    error // what Run returned; may be read once Done is closed
}

// Serve starts a Server at addr, such as 127.0.0.1:0. It speaks HTTP/1.1 and HTTP/2, over TLS or
// not. It drains when the test ends, if not before, and Run has to return nil.
func Serve(tb testing.TB, addr string, secure bool, h http.Handler, d *middleware.Drainer) *Server {
	tb.Helper()
	ln, err := net.Listen("tcp", addr)
	require.NoError(tb, err)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	srv := &http.Server{Handler: h, Protocols: &protocols, ErrorLog: NoLog}
	s := &Server{Addr: ln.Addr().String(), Drainer: d, Done: make(chan struct{}), scheme: "http"}
	serve := func() error { return srv.Serve(ln) }
	if secure {
		s.scheme = "https"
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{Certificate()}}
		serve = func() error { return srv.ServeTLS(ln, "", "") }
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	go func() {
		defer close(s.Done)
		s.err = d.Run(ctx, srv, serve)
	}()
	tb.Cleanup(func() { s.Drain(tb) })
	return s
}

// URL returns the URL of a path on the server.
func (s *Server) URL(path string) string { return s.scheme + "://" + s.Addr + path }

// Stop starts the drain, as a signal would, and returns at once.
func (s *Server) Stop() { s.stop() }

// Drain starts the drain if Stop has not, and waits for its end.
func (s *Server) Drain(tb testing.TB) {
	tb.Helper()
	s.stop()
	<-s.Done // at the latest when the drain's budget is spent
	assert.NoError(tb, s.err)
}

// Certificate returns the certificate of net/http/httptest. Its Leaf is set.
var Certificate = sync.OnceValue(func() tls.Certificate {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	c := s.TLS.Certificates[0]
	c.Leaf = s.Certificate()
	return c
})

// NoLog is the error log of a server whose clients leave in the middle of things, which it would
// write about.
var NoLog = log.New(io.Discard, "", 0)
