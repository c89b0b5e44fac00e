package sse

//lint:file-ignore SA1019 x/net's h2c is still in use

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
)

// wrap is middleware.
type wrap = func(http.Handler) http.Handler

// A router has a handler in it, and graceful around itself or in a place of its own.
type router struct {
	name string
	with func(graceful wrap, h http.Handler) http.Handler
}

var routers = []router{
	{"no router", func(graceful wrap, h http.Handler) http.Handler { return graceful(h) }},
	{"around chi", func(graceful wrap, h http.Handler) http.Handler {
		r := chi.NewRouter()
		r.Method(http.MethodGet, "/", h)
		return graceful(r)
	}},
	{"inside chi", func(graceful wrap, h http.Handler) http.Handler {
		r := chi.NewRouter()
		r.Use(graceful)
		r.Method(http.MethodGet, "/", h)
		return r
	}},
	{"around gin", func(graceful wrap, h http.Handler) http.Handler {
		r := gin.New()
		r.GET("/", gin.WrapH(h))
		return graceful(r)
	}},
	{"inside gin", func(graceful wrap, h http.Handler) http.Handler {
		r := gin.New()
		r.GET("/", gin.WrapH(graceful(h)))
		return r
	}},
	{"around echo", func(graceful wrap, h http.Handler) http.Handler {
		r := echo.New()
		r.GET("/", echo.WrapHandler(h))
		return graceful(r)
	}},
	{"inside echo", func(graceful wrap, h http.Handler) http.Handler {
		r := echo.New()
		r.Use(echo.WrapMiddleware(graceful))
		r.GET("/", echo.WrapHandler(h))
		return r
	}},
}

// A protocol is what a server and its clients speak.
type protocol struct {
	name  string
	major int
	on    func(*http.Protocols, bool)
	set   func(*http.Server)
}

var protocols = []protocol{
	{"HTTP/1.1", 1, (*http.Protocols).SetHTTP1, func(*http.Server) {}},
	{"TLS HTTP/2", 2, (*http.Protocols).SetHTTP2, func(s *http.Server) {
		s.TLSConfig = &tls.Config{Certificates: certificates().TLS.Certificates}
	}},
	{"h2c", 2, (*http.Protocols).SetUnencryptedHTTP2, func(s *http.Server) {
		s.Protocols = new(http.Protocols)
		s.Protocols.SetUnencryptedHTTP2(true)
	}},
	{"x/net's h2c", 2, (*http.Protocols).SetUnencryptedHTTP2, func(s *http.Server) {
		s.Handler = h2c.NewHandler(s.Handler, new(http2.Server))
	}},
}

// certificates are httptest's.
var certificates = sync.OnceValue(func() *httptest.Server {
	s := httptest.NewTLSServer(nil)
	s.Close()
	return s
})

// A site is a server and a client of it.
type site struct {
	t      *testing.T
	url    string
	client *http.Client
	proto  protocol
	close  func() // may be called twice
}

// serve begins to serve h. What is still open when the site is closed is cut.
func serve(t *testing.T, p protocol, h http.Handler) *site {
	return serveOn(t, p, h, func(l net.Listener) net.Listener { return l })
}

func serveOn(t *testing.T, p protocol, h http.Handler, wrapped func(net.Listener) net.Listener) *site {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &kept{Listener: tcp}
	srv := &http.Server{Handler: h, ErrorLog: silent}
	p.set(srv)
	scheme, accept := "http", func() error { return srv.Serve(wrapped(l)) }
	if srv.TLSConfig != nil {
		scheme, accept = "https", func() error { return srv.ServeTLS(wrapped(l), "", "") }
	}
	var served sync.WaitGroup
	served.Go(func() { assert.ErrorIs(t, accept(), http.ErrServerClosed) })

	speaks, roots := new(http.Protocols), x509.NewCertPool()
	p.on(speaks, true)
	roots.AddCert(certificates().Certificate())
	transport := &http.Transport{
		Protocols: speaks, TLSClientConfig: &tls.Config{RootCAs: roots}, DisableCompression: true,
	}
	s := &site{t: t, url: scheme + "://" + l.Addr().String(), client: &http.Client{Transport: transport}, proto: p}
	s.close = sync.OnceFunc(func() {
		transport.CloseIdleConnections()
		srv.Close()
		served.Wait()
		l.closeAll()
	})
	t.Cleanup(s.close)
	return s
}

// kept keeps the connections that it accepted, since a server doesn't know those that were hijacked, by h2c for one.
type kept struct {
	net.Listener
	mu  sync.Mutex // guards following
	all []net.Conn
}

func (k *kept) Accept() (net.Conn, error) {
	c, err := k.Listener.Accept()
	if err == nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.all = append(k.all, c)
	}
	return c, err
}

func (k *kept) closeAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.all {
		c.Close()
	}
}

// get asks for the event stream "s" as an EventSource does.
func (s *site) get(header ...string) (*http.Response, error) {
	req, err := http.NewRequest(http.MethodGet, s.url+"/?stream=s", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := s.client.Do(req)
	if err == nil {
		assert.Equal(s.t, s.proto.major, res.ProtoMajor)
	}
	return res, err
}

// proxy is a ReverseProxy in front of a site.
func proxy(s *site) http.Handler {
	u, err := url.Parse(s.url)
	require.NoError(s.t, err)
	p := httputil.NewSingleHostReverseProxy(u)
	p.Transport = s.client.Transport
	p.ErrorLog = silent
	return p
}

// silent is for servers whose peers leave in the midst of things, which is what they would log.
var silent = log.New(io.Discard, "", 0)
