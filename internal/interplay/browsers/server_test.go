package browsers

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

// A protocol is a way to speak HTTP.
type protocol struct {
	name   string // as http.Request.Proto has it
	scheme string
	curl   []string // the flags that make curl speak it
}

var (
	http1 = protocol{"HTTP/1.1", "http", []string{"--http1.1"}}
	h2c   = protocol{"HTTP/2.0", "http", []string{"--http2-prior-knowledge"}}
	h2    = protocol{"HTTP/2.0", "https", []string{"--http2", "--insecure"}}
)

// A server runs a site in this process.
type server struct {
	protocol
	drainer *middleware.Drainer
	addr    string
	stop    context.CancelFunc // begins the drain
	err     error              // of Run; readable once ended is closed
	ended   chan struct{}
}

// serve starts a server. It drains at the latest when the test ends, and has to end in order.
func serve(t *testing.T, p protocol, addr string, s site) *server {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	handler, d := s.handler()
	var speaks http.Protocols
	speaks.SetHTTP1(true) // beside HTTP/2, for WebSocket
	speaks.SetHTTP2(true)
	speaks.SetUnencryptedHTTP2(true)
	srv := &http.Server{Handler: handler, Protocols: &speaks, ErrorLog: log.New(io.Discard, "", 0)}
	begin := func() error { return srv.Serve(ln) }
	if p.scheme == "https" {
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate()}}
		begin = func() error { return srv.ServeTLS(ln, "", "") }
	}
	ctx, stop := context.WithCancel(context.Background())
	running := &server{protocol: p, drainer: d, addr: ln.Addr().String(), stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(running.ended)
		running.err = d.Run(ctx, srv, begin)
	}()
	t.Cleanup(func() { running.drain(t) })
	return running
}

// drain waits for the end of the drain, which it begins if need be.
func (s *server) drain(t *testing.T) {
	t.Helper()
	s.stop()
	<-s.ended // its budget sees to that
	assert.NoError(t, s.err)
}

func (s *server) url(path string) string { return s.scheme + "://" + s.addr + path }

// certificate is the one that net/http/httptest brings along.
var certificate = sync.OnceValue(func() tls.Certificate {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return s.TLS.Certificates[0]
})
