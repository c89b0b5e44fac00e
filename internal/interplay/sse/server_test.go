package sse

//lint:file-ignore SA1019 x/net's h2c is still in use

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"

	"github.com/lastcall-go/lastcall/internal/interplay/harness"
)

// A protocol is what a server and its clients speak.
type protocol struct {
	name   string
	major  int
	enable func(*http.Protocols, bool) // of the client's transport
	set    func(*http.Server)
}

var protocols = []protocol{
	{"HTTP/1.1", 1, (*http.Protocols).SetHTTP1, func(*http.Server) {}},
	{"TLS HTTP/2", 2, (*http.Protocols).SetHTTP2, func(s *http.Server) {
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{harness.Certificate()}}
	}},
	{"h2c", 2, (*http.Protocols).SetUnencryptedHTTP2, func(s *http.Server) {
		s.Protocols = new(http.Protocols)
		s.Protocols.SetUnencryptedHTTP2(true)
	}},
	{"x/net's h2c", 2, (*http.Protocols).SetUnencryptedHTTP2, func(s *http.Server) {
		s.Handler = h2c.NewHandler(s.Handler, new(http2.Server))
	}},
}

// A server is an http.Server, with a client of it.
type server struct {
	t      *testing.T
	url    string
	client *http.Client
	proto  protocol
	close  func() // may be called twice
}

// serve starts a server of h. Connections that are open when it is closed are cut.
func serve(t *testing.T, p protocol, h http.Handler) *server {
	return serveOn(t, p, h, func(l net.Listener) net.Listener { return l })
}

// serveOn is serve with another listener around the server's own.
func serveOn(t *testing.T, p protocol, h http.Handler, wrapped func(net.Listener) net.Listener) *server {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &trackingListener{Listener: tcp}
	srv := &http.Server{Handler: h, ErrorLog: harness.NoLog}
	p.set(srv)
	scheme, accept := "http", func() error { return srv.Serve(wrapped(l)) }
	if srv.TLSConfig != nil {
		scheme, accept = "https", func() error { return srv.ServeTLS(wrapped(l), "", "") }
	}
	var served sync.WaitGroup
	served.Go(func() { assert.ErrorIs(t, accept(), http.ErrServerClosed) })

	protocols, roots := new(http.Protocols), x509.NewCertPool()
	p.enable(protocols, true)
	roots.AddCert(harness.Certificate().Leaf)
	transport := &http.Transport{
		Protocols: protocols, TLSClientConfig: &tls.Config{RootCAs: roots}, DisableCompression: true,
	}
	s := &server{t: t, url: scheme + "://" + l.Addr().String(), client: &http.Client{Transport: transport}, proto: p}
	s.close = sync.OnceFunc(func() {
		transport.CloseIdleConnections()
		srv.Close()
		served.Wait()
		l.closeAll()
	})
	t.Cleanup(s.close)
	return s
}

// A trackingListener keeps the connections that it has accepted, to close them all. A server
// doesn't close those that were hijacked, by h2c for one.
type trackingListener struct {
	net.Listener
	mu  sync.Mutex // guards following
	all []net.Conn
}

func (l *trackingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = append(l.all, c)
	}
	return c, err
}

func (l *trackingListener) closeAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.all {
		c.Close()
	}
}

// get asks for the event stream "s" as an EventSource does, with pairs of header fields.
func (s *server) get(header ...string) (*http.Response, error) {
	req, err := http.NewRequest(http.MethodGet, s.url+"/?stream=s", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Cache-Control", "no-cache")
	req.Header.Set("User-Agent", "EventSource")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := s.client.Do(req)
	if err == nil {
		assert.Equal(s.t, s.proto.major, res.ProtoMajor)
	}
	return res, err
}

// proxy returns a ReverseProxy in front of a server.
func proxy(s *server) http.Handler {
	u, err := url.Parse(s.url)
	require.NoError(s.t, err)
	p := httputil.NewSingleHostReverseProxy(u)
	p.Transport = s.client.Transport
	p.ErrorLog = harness.NoLog
	return p
}
